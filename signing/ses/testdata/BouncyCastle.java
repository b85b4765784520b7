import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1InputStream;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.DERBitString;
import org.bouncycastle.asn1.ASN1GeneralizedTime;
import org.bouncycastle.asn1.DERIA5String;
import org.bouncycastle.asn1.DERUTF8String;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

/** Walks a seal signature of GB/T 38540 with Bouncy Castle alone and verifies both signatures in it. */
public class BouncyCastle {
    static final BouncyCastleProvider BC = new BouncyCastleProvider();

    static void verify(String what, ASN1Encodable signed, ASN1Encodable cert, ASN1Encodable algorithm, ASN1Encodable value) throws Exception {
        byte[] der = ((ASN1OctetString) cert).getOctets();
        X509Certificate c = (X509Certificate) CertificateFactory.getInstance("X.509", BC).generateCertificate(new ByteArrayInputStream(der));
        Signature s = Signature.getInstance(((ASN1ObjectIdentifier) algorithm).getId(), BC);
        s.initVerify(c);
        s.update(signed.toASN1Primitive().getEncoded("DER"));
        System.out.println(what + " " + s.verify(((DERBitString) value).getOctets()));
    }

    public static void main(String[] args) throws Exception {
        ASN1Sequence signature;
        byte[] bytes = Files.readAllBytes(Path.of(args[0]));
        try (ASN1InputStream in = new ASN1InputStream(bytes)) {
            signature = (ASN1Sequence) in.readObject();
            if (in.readObject() != null) throw new Exception("trailing bytes");
        }
        if (!java.util.Arrays.equals(signature.getEncoded("DER"), bytes)) throw new Exception("not DER");
        ASN1Sequence toSign = (ASN1Sequence) signature.getObjectAt(0);
        ASN1Sequence seal = (ASN1Sequence) toSign.getObjectAt(1);
        ASN1Sequence info = (ASN1Sequence) seal.getObjectAt(0);
        verify("signer", toSign, signature.getObjectAt(1), signature.getObjectAt(2), signature.getObjectAt(3));
        verify("maker", info, seal.getObjectAt(1), seal.getObjectAt(2), seal.getObjectAt(3));
        byte[] want = MessageDigest.getInstance("SM3", BC).digest(Files.readAllBytes(Path.of(args[1])));
        System.out.println("digest " + java.util.Arrays.equals(want, ((DERBitString) toSign.getObjectAt(3)).getOctets()));
        ASN1Sequence header = (ASN1Sequence) info.getObjectAt(0);
        ASN1Sequence property = (ASN1Sequence) info.getObjectAt(2);
        ASN1Sequence list = (ASN1Sequence) property.getObjectAt(3);
        System.out.println("listed " + list.getObjectAt(0).equals(signature.getObjectAt(1)));
        System.out.println("header " + header.getObjectAt(0) + " " + header.getObjectAt(1) + " " + header.getObjectAt(2));
        System.out.println("number " + ((DERIA5String) info.getObjectAt(1)).getString());
        System.out.println("name " + ((DERUTF8String) property.getObjectAt(1)).getString().codePointCount(0, ((DERUTF8String) property.getObjectAt(1)).getString().length()));
        System.out.println("until " + ((ASN1GeneralizedTime) property.getObjectAt(6)).getTimeString());
        System.out.println("time " + ((ASN1GeneralizedTime) toSign.getObjectAt(2)).getTimeString());
        System.out.println("property " + ((DERIA5String) toSign.getObjectAt(4)).getString());
    }
}
