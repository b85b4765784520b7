import java.io.ByteArrayInputStream;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.Base64;
import java.util.zip.ZipFile;
import javax.xml.parsers.DocumentBuilderFactory;
import org.bouncycastle.asn1.ASN1BitString;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.DERIA5String;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** Verifies the seals of a file with nothing but the JDK and Bouncy Castle: digests, signer, seal maker. */
public class BouncyCastle {
    static final BouncyCastleProvider BC = new BouncyCastleProvider();
    static final String OFD = "http://www.ofdspec.org/2016";

    static byte[] entry(ZipFile zip, String name) throws Exception {
        return zip.getInputStream(zip.getEntry(name.replaceFirst("^/", ""))).readAllBytes();
    }

    static byte[] sm3(byte[] data) throws Exception {
        return MessageDigest.getInstance("SM3", BC).digest(data);
    }

    static Document xml(byte[] data) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        return factory.newDocumentBuilder().parse(new ByteArrayInputStream(data));
    }

    static String text(Document d, String name) {
        return d.getElementsByTagNameNS(OFD, name).item(0).getTextContent();
    }

    static boolean verify(byte[] cert, byte[] message, byte[] value) throws Exception {
        X509Certificate c = (X509Certificate) CertificateFactory.getInstance("X.509", BC).generateCertificate(new ByteArrayInputStream(cert));
        Signature s = Signature.getInstance("1.2.156.10197.1.501", BC);
        s.initVerify(c.getPublicKey());
        s.update(message);
        return s.verify(value);
    }

    static byte[] octets(Object o) {
        return ASN1OctetString.getInstance(o).getOctets();
    }

    static byte[] bits(Object o) {
        return ((ASN1BitString) o).getOctets();
    }

    public static void main(String[] args) throws Exception {
        try (ZipFile zip = new ZipFile(Path.of(args[0]).toFile())) {
            Document list = xml(entry(zip, text(xml(entry(zip, "OFD.xml")), "Signatures")));
            NodeList all = list.getElementsByTagNameNS(OFD, "Signature");
            for (int i = 0; i < all.getLength(); i++) {
                String path = ((Element) all.item(i)).getAttribute("BaseLoc");
                byte[] description = entry(zip, path);
                Document d = xml(description);
                NodeList references = d.getElementsByTagNameNS(OFD, "Reference");
                int good = 0;
                for (int j = 0; j < references.getLength(); j++) {
                    Element r = (Element) references.item(j);
                    byte[] want = Base64.getDecoder().decode(r.getTextContent().trim());
                    if (Arrays.equals(want, sm3(entry(zip, r.getAttribute("FileRef"))))) {
                        good++;
                    }
                }
                ASN1Sequence g = ASN1Sequence.getInstance(entry(zip, text(d, "SignedValue")));
                ASN1Sequence tbs = ASN1Sequence.getInstance(g.getObjectAt(0));
                ASN1Sequence seal = ASN1Sequence.getInstance(tbs.getObjectAt(1));
                System.out.println("references " + good + " of " + references.getLength()
                    + " hash " + Arrays.equals(bits(tbs.getObjectAt(3)), sm3(description))
                    + " place " + path.equals(((DERIA5String) tbs.getObjectAt(4)).getString())
                    + " signer " + verify(octets(g.getObjectAt(1)), tbs.getEncoded("DER"), bits(g.getObjectAt(3)))
                    + " maker " + verify(octets(seal.getObjectAt(1)), seal.getObjectAt(0).toASN1Primitive().getEncoded("DER"), bits(seal.getObjectAt(3)))
                    + " copy " + Arrays.equals(entry(zip, text(d, "Seal")), seal.getEncoded("DER")));
            }
        }
    }
}
