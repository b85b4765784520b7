import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Security;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.TimeZone;
import javax.imageio.ImageIO;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1UTCTime;
import org.bouncycastle.asn1.DERBitString;
import org.bouncycastle.asn1.DERIA5String;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.DERUTF8String;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.ofdrw.gm.cert.PKCS12Tools;
import org.ofdrw.gm.ses.v1.SES_ESPictrueInfo;
import org.ofdrw.gm.ses.v1.SES_ESPropertyInfo;
import org.ofdrw.gm.ses.v1.SES_Header;
import org.ofdrw.gm.ses.v1.SES_SealInfo;
import org.ofdrw.gm.ses.v1.SES_SignInfo;
import org.ofdrw.layout.OFDDoc;
import org.ofdrw.layout.edit.Attachment;
import org.ofdrw.layout.element.Img;
import org.ofdrw.layout.element.Paragraph;
import org.ofdrw.reader.ContentExtractor;
import org.ofdrw.reader.OFDReader;
import org.ofdrw.sign.ExtendSignatureContainer;
import org.ofdrw.sign.OFDSigner;
import org.ofdrw.sign.SignMode;
import org.ofdrw.sign.signContainer.DigitalSignContainer;
import org.ofdrw.sign.signContainer.GBT35275DSContainer;
import org.ofdrw.sign.signContainer.GBT35275PKCS9DSContainer;
import org.ofdrw.sign.signContainer.SESV1Container;
import org.ofdrw.sign.signContainer.SESV4Container;
import org.ofdrw.sign.stamppos.NormalStampPos;
import org.ofdrw.sign.stamppos.RidingStampPos;
import org.ofdrw.sign.verify.OFDValidator;
import org.ofdrw.sign.verify.SignedDataValidateContainer;
import org.ofdrw.sign.verify.container.GBT35275ValidateContainer;
import org.ofdrw.sign.verify.container.SESV4ValidateContainer;

/** Reads and validates files with ofdrw, and makes and signs others with the keys that lie in a folder. */
public class Ofdrw {
    static final ASN1ObjectIdentifier SM2SM3 = new ASN1ObjectIdentifier("1.2.156.10197.1.501");
    static Path dir;

    static byte[] read(String name) throws Exception {
        return Files.readAllBytes(dir.resolve(name));
    }

    static PrivateKey key(String name) throws Exception {
        return KeyFactory.getInstance("EC", "BC").generatePrivate(new PKCS8EncodedKeySpec(read(name + ".key")));
    }

    static Certificate cert(String name) throws Exception {
        return CertificateFactory.getInstance("X.509", "BC").generateCertificate(new ByteArrayInputStream(read(name + ".cer")));
    }

    /** What a reader sees, and what ofdrw's validator thinks. */
    static void look(String file, SignedDataValidateContainer container) throws Exception {
        try (OFDReader reader = new OFDReader(dir.resolve(file))) {
            System.out.println(file + " pages " + reader.getNumberOfPages());
            System.out.println(file + " text " + String.join("|", new ContentExtractor(reader).extractAll()));
            System.out.println(file + " seals " + reader.getStampAnnots().size());
        }
        if (container != null) {
            try (OFDReader reader = new OFDReader(dir.resolve(file)); OFDValidator validator = new OFDValidator(reader)) {
                validator.setValidator(container);
                validator.exeValidate();
                System.out.println(file + " validated");
            }
        }
    }

    static void make(String file) throws Exception {
        BufferedImage image = new BufferedImage(40, 40, BufferedImage.TYPE_INT_RGB);
        image.createGraphics().fillRect(5, 5, 20, 20);
        ImageIO.write(image, "png", dir.resolve("picture.png").toFile());
        Files.write(dir.resolve("note.txt"), "附件".getBytes("UTF-8"));
        try (OFDDoc doc = new OFDDoc(dir.resolve(file))) {
            doc.add(new Paragraph("你好呀，OFD Reader & Writer <2>！", 6d));
            for (int i = 0; i < 60; i++) {
                doc.add(new Paragraph("第 " + i + " 段：攸县行政审批服务局。", 5d));
            }
            doc.add(new Img(40, 40, dir.resolve("picture.png")));
            doc.addAttachment(new Attachment("note.txt", dir.resolve("note.txt")));
        }
    }

    static void sign(String in, String out, ExtendSignatureContainer container, SignMode mode, boolean riding) throws Exception {
        try (OFDReader reader = new OFDReader(dir.resolve(in)); OFDSigner signer = new OFDSigner(reader, dir.resolve(out))) {
            signer.setSignMode(mode).setSignContainer(container);
            if (container.getSeal() != null) {
                signer.addApPos(new NormalStampPos(1, 50, 50, 42, 42));
                if (riding) {
                    signer.addApPos(new RidingStampPos(42, 42));
                }
            }
            signer.exeSign();
        }
    }

    static org.ofdrw.gm.ses.v1.SESeal seal1() throws Exception {
        SimpleDateFormat format = new SimpleDateFormat("yyMMddHHmmss'Z'");
        format.setTimeZone(TimeZone.getTimeZone("UTC"));
        long now = System.currentTimeMillis(), day = 86400000L;
        ASN1UTCTime start = new ASN1UTCTime(format.format(new Date(now - 5 * day)));
        ASN1UTCTime end = new ASN1UTCTime(format.format(new Date(now + 5 * day)));
        SES_ESPropertyInfo property = new SES_ESPropertyInfo(new ASN1Integer(1), new DERUTF8String("OFD R&W"),
            new DERSequence(new DEROctetString(read("signer.cer"))), start, start, end);
        SES_ESPictrueInfo picture = new SES_ESPictrueInfo().setType("PNG").setData(read("stamp.png")).setWidth(42).setHeight(42);
        SES_SealInfo info = new SES_SealInfo(new SES_Header(new ASN1Integer(1), new DERIA5String("OFDR&W")),
            new DERIA5String("40C8CDD24DEF43388B86E62CCE1D6832"), property, picture, null);
        DEROctetString maker = new DEROctetString(read("maker.cer"));
        Signature s = Signature.getInstance("SM3WithSM2", "BC");
        s.initSign(key("maker"));
        s.update(new DERSequence(new ASN1Encodable[] {info, maker, SM2SM3}).getEncoded("DER"));
        return new org.ofdrw.gm.ses.v1.SESeal(info, new SES_SignInfo(maker, SM2SM3, new DERBitString(s.sign())));
    }

    /** The signer's key and certificate, as people have them: in a PKCS#12 file. */
    static PrivateKey pkcs12(Certificate cert) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12", "BC");
        store.load(null, null);
        store.setKeyEntry("private", key("signer"), "777777".toCharArray(), new Certificate[] {cert});
        try (var out = Files.newOutputStream(dir.resolve("signer.p12"))) {
            store.store(out, "777777".toCharArray());
        }
        return PKCS12Tools.ReadPrvKey(dir.resolve("signer.p12"), "private", "777777");
    }

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        dir = Path.of(args[0]);
        look("license.ofd", null);
        look("one.ofd", new SESV4ValidateContainer());
        look("two.ofd", new SESV4ValidateContainer());
        look("riding.ofd", new SESV4ValidateContainer());
        look("plain.ofd", new GBT35275ValidateContainer());

        Certificate signer = cert("signer");
        PrivateKey key = pkcs12(signer);
        org.ofdrw.gm.ses.v4.SESeal seal = org.ofdrw.gm.ses.v4.SESeal.getInstance(read("seal.esl"));
        make("doc.ofd");
        sign("doc.ofd", "v4.ofd", new SESV4Container(key, seal, signer), SignMode.ContinueSign, true);
        sign("v4.ofd", "v4v4.ofd", new SESV4Container(key, seal, signer), SignMode.WholeProtected, false);
        sign("doc.ofd", "v1.ofd", new SESV1Container(key, seal1(), signer), SignMode.WholeProtected, true);
        sign("doc.ofd", "cms.ofd", new GBT35275DSContainer(signer, key), SignMode.WholeProtected, false);
        sign("doc.ofd", "cms9.ofd", new GBT35275PKCS9DSContainer(signer, key), SignMode.WholeProtected, false);
        sign("doc.ofd", "raw.ofd", new DigitalSignContainer(key), SignMode.WholeProtected, false);
        // Theirs on top of ours.
        sign("one.ofd", "ours_theirs.ofd", new SESV4Container(key, seal, signer), SignMode.ContinueSign, false);
    }
}
