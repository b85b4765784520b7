import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.Security;
import java.security.spec.ECGenParameterSpec;
import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.List;
import java.util.Set;
import java.util.TimeZone;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.gm.GMObjectIdentifiers;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.asn1.x509.KeyUsage;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.cms.DefaultCMSSignatureAlgorithmNameGenerator;
import org.bouncycastle.cms.SignerInfoGenerator;
import org.bouncycastle.cms.SignerInfoGeneratorBuilder;
import org.bouncycastle.cms.SignerInformationVerifier;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.DefaultSignatureAlgorithmIdentifierFinder;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.tsp.TimeStampRequest;
import org.bouncycastle.tsp.TimeStampRequestGenerator;
import org.bouncycastle.tsp.TimeStampResponse;
import org.bouncycastle.tsp.TimeStampResponseGenerator;
import org.bouncycastle.tsp.TimeStampToken;
import org.bouncycastle.tsp.TimeStampTokenGenerator;
import org.bouncycastle.util.CollectionStore;

/** Validates timestamps with Bouncy Castle alone, and makes some. */
public class BouncyCastle {
    static Path dir;
    static DigestCalculatorProvider digests;

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        digests = new JcaDigestCalculatorProviderBuilder().setProvider("BC").build();
        dir = Path.of(args[0]);
        for (int i = 1; i < args.length; i++) {
            validate(args[i]);
        }
        make("P-256", "secp256r1", "SHA256withECDSA", NISTObjectIdentifiers.id_sha256, args[1]);
        make("SM2", "sm2p256v1", "SM3withSM2", GMObjectIdentifiers.sm3, args[1]);
    }

    static byte[] read(String name) throws Exception {
        return Files.readAllBytes(dir.resolve(name));
    }

    static void validate(String id) throws Exception {
        TimeStampRequest request = new TimeStampRequest(read(id + ".query"));
        TimeStampResponse response = new TimeStampResponse(read(id + ".reply"));
        response.validate(request);
        TimeStampToken token = response.getTimeStampToken();
        X509CertificateHolder own = new X509CertificateHolder(read(id + ".leaf"));
        X509CertificateHolder sent = (X509CertificateHolder) token.getCertificates().getMatches(token.getSID()).iterator().next();
        if (!own.equals(sent)) {
            throw new IllegalStateException("sid leads to another certificate");
        }
        // Bouncy Castle 1.68 has no name for the signature algorithm of GB/T 35275 in CMS and is told that one; the rest is its own.
        var names = new DefaultCMSSignatureAlgorithmNameGenerator();
        token.validate(new SignerInformationVerifier(
            (digest, signature) -> signature.getAlgorithm().getId().equals("1.2.156.10197.1.301.1") ? "SM3WITHSM2" : names.getSignatureName(digest, signature),
            new DefaultSignatureAlgorithmIdentifierFinder(), new JcaContentVerifierProviderBuilder().setProvider("BC").build(sent), digests));
        SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'");
        format.setTimeZone(TimeZone.getTimeZone("UTC"));
        var accuracy = token.getTimeStampInfo().toASN1Structure().getAccuracy();
        System.out.println(id + ": valid at " + format.format(token.getTimeStampInfo().getGenTime()) + ", accuracy "
            + accuracy.getSeconds() + " " + accuracy.getMillis() + " " + accuracy.getMicros() + ", policy " + token.getTimeStampInfo().getPolicy());
    }

    static void make(String name, String curve, String algorithm, ASN1ObjectIdentifier digest, String query) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "BC");
        generator.initialize(new ECGenParameterSpec(curve));
        KeyPair rootKey = generator.generateKeyPair(), key = generator.generateKeyPair();
        X500Name root = new X500Name("CN=root"), subject = new X500Name("CN=TSA");
        Date from = new Date(System.currentTimeMillis() - 86400000L), to = new Date(System.currentTimeMillis() + 86400000L);
        ContentSigner rootSigner = new JcaContentSignerBuilder(algorithm).setProvider("BC").build(rootKey.getPrivate());
        X509CertificateHolder rootCert = new JcaX509v3CertificateBuilder(root, BigInteger.ONE, from, to, root, rootKey.getPublic())
            .addExtension(Extension.basicConstraints, true, new BasicConstraints(true))
            .addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.keyCertSign | KeyUsage.cRLSign)).build(rootSigner);
        X509CertificateHolder cert = new JcaX509v3CertificateBuilder(root, BigInteger.valueOf(2), from, to, subject, key.getPublic())
            .addExtension(Extension.keyUsage, true, new KeyUsage(KeyUsage.digitalSignature))
            .addExtension(Extension.extendedKeyUsage, true, new ExtendedKeyUsage(KeyPurposeId.id_kp_timeStamping)).build(rootSigner);

        ContentSigner signer = new JcaContentSignerBuilder(algorithm).setProvider("BC").build(key.getPrivate());
        SignerInfoGenerator info = new SignerInfoGeneratorBuilder(digests).build(signer, cert);
        TimeStampTokenGenerator tokens = new TimeStampTokenGenerator(info, digests.get(new AlgorithmIdentifier(digest)), new ASN1ObjectIdentifier("1.2.3.4.1"));
        tokens.addCertificates(new CollectionStore<>(List.of(rootCert, cert)));
        TimeStampResponseGenerator responses = new TimeStampResponseGenerator(tokens, Set.of(digest.getId()));
        TimeStampRequestGenerator requests = new TimeStampRequestGenerator();
        requests.setCertReq(true);
        byte[] hash = MessageDigest.getInstance(digest.getId(), "BC").digest(read("data"));
        TimeStampRequest request = requests.generate(digest, hash, BigInteger.valueOf(42));
        Files.write(dir.resolve("made-" + name + ".reply"), responses.generate(request, BigInteger.valueOf(3), new Date()).getEncoded());
        Files.write(dir.resolve("made-" + name + ".root"), rootCert.getEncoded());
    }
}
