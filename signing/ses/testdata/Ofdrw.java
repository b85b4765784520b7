import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import org.bouncycastle.asn1.ASN1GeneralizedTime;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1UTCTime;
import org.bouncycastle.asn1.DERBitString;
import org.bouncycastle.asn1.DERIA5String;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.DERUTF8String;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.ofdrw.gm.ses.parse.VersionParser;
import org.ofdrw.gm.ses.v1.SES_ESPictrueInfo;
import org.ofdrw.gm.ses.v1.SES_Header;
import org.ofdrw.gm.ses.v1.SES_SignInfo;
import org.ofdrw.gm.ses.v4.SES_CertList;

/** Reads a seal signature with ofdrw, and makes others of generations 4 and 1 with the same keys. */
public class Ofdrw {
    static final ASN1ObjectIdentifier SM2SM3 = new ASN1ObjectIdentifier("1.2.156.10197.1.501");
    static Path dir;

    static byte[] read(String name) throws Exception {
        return Files.readAllBytes(dir.resolve(name));
    }

    static byte[] sign(String key, byte[] message) throws Exception {
        PrivateKey k = KeyFactory.getInstance("EC", new BouncyCastleProvider()).generatePrivate(new PKCS8EncodedKeySpec(read(key)));
        Signature s = Signature.getInstance("SM3WithSM2", new BouncyCastleProvider());
        s.initSign(k);
        s.update(message);
        return s.sign();
    }

    static SES_ESPictrueInfo picture() throws Exception {
        return new SES_ESPictrueInfo().setType("PNG").setData(read("stamp.png")).setWidth(42).setHeight(42);
    }

    static void parse() throws Exception {
        byte[] der = read("ours.dat");
        System.out.println("version " + VersionParser.parseSES_SignatureVersion(der).getVersion());
        System.out.println("seal version " + VersionParser.parseSES_SealVersion(read("ours.esl")).getVersion());
        org.ofdrw.gm.ses.v4.SES_Signature g = org.ofdrw.gm.ses.v4.SES_Signature.getInstance(der);
        System.out.println("same bytes " + Arrays.equals(der, g.getEncoded("DER")));
        org.ofdrw.gm.ses.v4.SESeal s = g.getToSign().getEseal();
        System.out.println("same seal " + Arrays.equals(read("ours.esl"), s.getEncoded("DER")));
        System.out.println("number " + s.geteSealInfo().getEsID().getString());
        System.out.println("picture " + s.geteSealInfo().getPicture().getWidth() + " " + s.geteSealInfo().getPicture().getType().getString());
        System.out.println("timestamp " + (g.getTimeStamp() != null));
    }

    static void make4() throws Exception {
        DERSequence list = new DERSequence(new DEROctetString(read("signer.cer")));
        org.ofdrw.gm.ses.v4.SES_ESPropertyInfo property = new org.ofdrw.gm.ses.v4.SES_ESPropertyInfo()
            .setType(new ASN1Integer(3)).setName(new DERUTF8String("OFD R&W"))
            .setCertListType(org.ofdrw.gm.ses.v4.SES_ESPropertyInfo.CertListType)
            .setCertList(SES_CertList.getInstance(org.ofdrw.gm.ses.v4.SES_ESPropertyInfo.CertListType, list))
            .setCreateDate(new ASN1GeneralizedTime("20260301000000Z"))
            .setValidStart(new ASN1GeneralizedTime("20260301000000Z"))
            .setValidEnd(new ASN1GeneralizedTime("20280301000000Z"));
        org.ofdrw.gm.ses.v4.SES_SealInfo info = new org.ofdrw.gm.ses.v4.SES_SealInfo()
            .setHeader(new SES_Header(SES_Header.V4, new DERIA5String("OFDR&W")))
            .setEsID("51f044b76510434e9bc67a1185c2fba5").setProperty(property).setPicture(picture());
        org.ofdrw.gm.ses.v4.SESeal seal = new org.ofdrw.gm.ses.v4.SESeal(info, new DEROctetString(read("maker.cer")), SM2SM3,
            new DERBitString(sign("maker.key", info.getEncoded("DER"))));
        org.ofdrw.gm.ses.v4.TBS_Sign tbs = new org.ofdrw.gm.ses.v4.TBS_Sign().setVersion(SES_Header.V4).setEseal(seal)
            .setTimeInfo(new ASN1GeneralizedTime("20260601083015Z")).setDataHash(read("hash"))
            .setPropertyInfo("/Doc_0/Signs/Sign_0/Signature.xml");
        org.ofdrw.gm.ses.v4.SES_Signature g = new org.ofdrw.gm.ses.v4.SES_Signature(tbs, new DEROctetString(read("signer.cer")), SM2SM3,
            new DERBitString(sign("signer.key", tbs.getEncoded("DER"))), null);
        Files.write(dir.resolve("v4.esl"), seal.getEncoded("DER"));
        Files.write(dir.resolve("v4.dat"), g.getEncoded("DER"));
    }

    static void make1(String name, DERBitString timeInfo) throws Exception {
        org.ofdrw.gm.ses.v1.SES_ESPropertyInfo property = new org.ofdrw.gm.ses.v1.SES_ESPropertyInfo(
            new ASN1Integer(1), new DERUTF8String("OFD R&W"), new DERSequence(new DEROctetString(read("signer.cer"))),
            new ASN1UTCTime("260301000000Z"), new ASN1UTCTime("260301000000Z"), new ASN1UTCTime("280301000000Z"));
        org.ofdrw.gm.ses.v1.SES_SealInfo info = new org.ofdrw.gm.ses.v1.SES_SealInfo(
            new SES_Header(new ASN1Integer(1), new DERIA5String("OFDR&W")), new DERIA5String("40C8CDD24DEF43388B86E62CCE1D6832"),
            property, picture(), null);
        DEROctetString maker = new DEROctetString(read("maker.cer"));
        byte[] signed = new DERSequence(new org.bouncycastle.asn1.ASN1Encodable[] {info, maker, SM2SM3}).getEncoded("DER");
        org.ofdrw.gm.ses.v1.SESeal seal = new org.ofdrw.gm.ses.v1.SESeal(info,
            new SES_SignInfo(maker, SM2SM3, new DERBitString(sign("maker.key", signed))));
        org.ofdrw.gm.ses.v1.TBS_Sign tbs = new org.ofdrw.gm.ses.v1.TBS_Sign(new ASN1Integer(1), seal, timeInfo,
            new DERBitString(read("hash")), new DERIA5String("/Doc_0/Signs/Sign_0/Signature.xml"),
            new DEROctetString(read("signer.cer")), SM2SM3);
        org.ofdrw.gm.ses.v1.SES_Signature g = new org.ofdrw.gm.ses.v1.SES_Signature(tbs,
            new DERBitString(sign("signer.key", tbs.getEncoded("DER"))));
        Files.write(dir.resolve(name + ".esl"), seal.getEncoded("DER"));
        Files.write(dir.resolve(name + ".dat"), g.getEncoded("DER"));
    }

    public static void main(String[] args) throws Exception {
        dir = Path.of(args[0]);
        parse();
        make4();
        make1("v1", new DERBitString(new ASN1UTCTime("260601083015Z")));
        make1("v1text", new DERBitString("2026-06-01 16:30:15".getBytes("UTF-8")));
        byte[] v1 = read("v1.dat");
        System.out.println("v1 version " + VersionParser.parseSES_SignatureVersion(v1).getVersion());
    }
}
