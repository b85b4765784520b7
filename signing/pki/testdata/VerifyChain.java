import java.io.ByteArrayInputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Security;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.Date;
import java.util.List;
import java.util.Set;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x500.style.RFC4519Style;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.jcajce.JcaContentVerifierProviderBuilder;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequest;

/** Validates a certificate chain with revocation lists, and a request, by Bouncy Castle alone. */
public class VerifyChain {
    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        Path dir = Path.of(args[0]);
        CertificateFactory factory = CertificateFactory.getInstance("X.509", "BC");
        X509Certificate root = certificate(factory, dir.resolve("root.der"));
        X509Certificate issuing = certificate(factory, dir.resolve("issuing.der"));
        X509CRL rootList = list(factory, dir.resolve("root.crl"));
        X509CRL issuingList = list(factory, dir.resolve("issuing.crl"));
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
        parameters.addCertStore(CertStore.getInstance("Collection",
            new CollectionCertStoreParameters(List.of(rootList, issuingList)), "BC"));
        parameters.setRevocationEnabled(true);
        parameters.setDate(Date.from(Instant.parse(args[1])));
        CertPathValidator validator = CertPathValidator.getInstance("PKIX", "BC");
        for (String name : List.of("good", "bad")) {
            X509Certificate leaf = certificate(factory, dir.resolve(name + ".der"));
            leaf.verify(issuing.getPublicKey(), "BC");
            X500Name subject = X500Name.getInstance(leaf.getSubjectX500Principal().getEncoded());
            out.println(name + ": CN=" + subject.getRDNs(RFC4519Style.cn)[0].getFirst().getValue());
            try {
                validator.validate(factory.generateCertPath(List.of(leaf, issuing)), parameters);
                out.println(name + ": valid");
            } catch (CertPathValidatorException e) {
                out.println(name + ": " + (String.valueOf(e.getMessage()).contains("revo") ? "revoked" : "invalid") + " (" + e.getMessage() + ")");
            }
        }
        JcaPKCS10CertificationRequest request = new JcaPKCS10CertificationRequest(Files.readAllBytes(dir.resolve("request.der")));
        out.println("request: signature " + request.isSignatureValid(
            new JcaContentVerifierProviderBuilder().setProvider("BC").build(request.getPublicKey())));
        out.println("request: CN=" + request.getSubject().getRDNs(RFC4519Style.cn)[0].getFirst().getValue());
    }

    private static X509Certificate certificate(CertificateFactory factory, Path file) throws Exception {
        return (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(Files.readAllBytes(file)));
    }

    private static X509CRL list(CertificateFactory factory, Path file) throws Exception {
        return (X509CRL) factory.generateCRL(new ByteArrayInputStream(Files.readAllBytes(file)));
    }
}
