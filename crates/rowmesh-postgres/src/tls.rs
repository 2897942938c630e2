//! TLS to the server, by rustls: what is verified of its certificate, and the adapter between rustls and the driver. Whether TLS is wanted at
//! all, and what comes after a handshake that failed, is decided in `connection`.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use crate::location::{Roots, Tls, TlsMode};

/// What PostgreSQL calls itself where TLS begins with the first byte.
const ALPN: &[u8] = b"postgresql";

/// Why no handshake can even be tried.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A file that the url names.
    #[error("{} cannot be used as {what}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system trusts nobody, as far as we can see.
    #[error("this system has no list of trusted certificates")]
    NoRoots,
    /// A certificate and a key that do not belong together, or are of a kind that is not known.
    #[error("the client certificate cannot be used")]
    Identity(#[source] rustls::Error),
}

/// Makes connections of one kind.
#[derive(Clone)]
pub struct Connector(Arc<ClientConfig>);

impl Connector {
    /// Reads what the url names.
    ///
    /// # Errors
    /// If a file is missing or holds something else.
    pub fn new(tls: &Tls) -> Result<Connector, Unusable> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Verifier::new(tls, &provider)?);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has all of them")
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &tls.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate, "client certificate")?;
                let key =
                    PrivateKeyDer::from_pem_file(key).map_err(unusable("the key of the client certificate", key))?;
                config.with_client_auth_cert(chain, key).map_err(Unusable::Identity)?
            }
        };
        if tls.is_direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        Ok(Connector(Arc::new(config)))
    }
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(unusable(what, path))?;
    if found.is_empty() {
        return Err(unusable(what, path)("it holds no certificate"));
    }
    Ok(found)
}

fn unusable<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> Unusable {
    let path = path.to_owned();
    move |source| Unusable::File { what, path, source: source.into() }
}

/// The certificates that the operating system trusts, where OpenSSL would look for them. Read by ourselves, so that nothing of the system's
/// TLS is linked.
fn system_roots() -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let place = openssl_probe::probe();
    if let Some(file) = place.cert_file {
        return certificates(&file, "list of trusted certificates");
    }
    let files = place.cert_dir.into_iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let found: Vec<_> = files.filter_map(|file| certificates(&file.path(), "").ok()).flatten().collect();
    if found.is_empty() { Err(Unusable::NoRoots) } else { Ok(found) }
}

/// Verifies as much of the server's certificate as the mode demands; that the server holds its key is always proved.
#[derive(Debug)]
struct Verifier {
    mode: TlsMode,
    roots: Vec<CertificateDer<'static>>,
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Verifier, Unusable> {
        let roots = match (&tls.roots, tls.mode) {
            (_, TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer | TlsMode::Require) => Vec::new(),
            (Roots::System, _) => system_roots()?,
            (Roots::File(path), _) => certificates(path, "sslrootcert")?,
        };
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        // A store without any root is refused; a list that holds only a server's own certificate leads to one.
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone());
        Ok(Verifier { mode: tls.mode, roots, chain: builder.build().ok(), provider: provider.clone() })
    }

    /// Whether somebody trusted vouches for the server, under its name.
    fn verify(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.roots.iter().any(|root| root == server) {
            return verify_own(server, name, now);
        }
        let chain = self.chain.as_ref().ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        chain.verify_server_cert(server, between, name, &[], now).map(|_| ())
    }
}

/// A server's own certificate in the list of roots, as small installations have it: webpki knows no such case, OpenSSL does.
fn verify_own(server: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let bad = |fault: CertificateError| rustls::Error::InvalidCertificate(fault);
    let (_, parsed) = x509_parser::parse_x509_certificate(server).map_err(|_| bad(CertificateError::BadEncoding))?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if parsed.validity().not_after.timestamp() < seconds {
        return Err(bad(CertificateError::Expired));
    }
    if parsed.validity().not_before.timestamp() > seconds {
        return Err(bad(CertificateError::NotValidYet));
    }
    let parsed = rustls::server::ParsedCertificate::try_from(server)?;
    rustls::client::verify_server_name(&parsed, name)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = match self.mode {
            TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer | TlsMode::Require => Ok(()),
            TlsMode::VerifyCa => match self.verify(server, between, name, now) {
                // The chain comes first, so all but the name has been found good.
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => Ok(()),
                verdict => verdict,
            },
            TlsMode::VerifyFull => self.verify(server, between, name, now),
        };
        verdict.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, Self::Error> {
        let name = ServerName::try_from(domain)?.to_owned();
        Ok(Handshake { connector: TlsConnector::from(self.0.clone()), name })
    }
}

/// One handshake to come.
pub struct Handshake {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { Ok(Stream(self.connector.connect(self.name, stream).await?)) })
    }
}

/// A protected connection.
pub struct Stream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let server = self.0.get_ref().1.peer_certificates().and_then(<[_]>::first);
        server
            .and_then(|server| end_point(server))
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// The hash of the server's certificate that RFC 5929 calls `tls-server-end-point`: by the algorithm of its signature, at least SHA-256.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    use ::ring::digest::{SHA256, SHA384, SHA512, digest};
    use x509_parser::oid_registry as oid;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let signed_by = &parsed.signature_algorithm.algorithm;
    let sha256 = [
        &oid::OID_PKCS1_MD5WITHRSAENC,
        &oid::OID_PKCS1_SHA1WITHRSA,
        &oid::OID_PKCS1_SHA256WITHRSA,
        &oid::OID_SIG_ECDSA_WITH_SHA256,
    ];
    let algorithm = match signed_by {
        by if sha256.contains(&by) => &SHA256,
        by if [&oid::OID_PKCS1_SHA384WITHRSA, &oid::OID_SIG_ECDSA_WITH_SHA384].contains(&by) => &SHA384,
        by if [&oid::OID_PKCS1_SHA512WITHRSA, &oid::OID_SIG_ECDSA_WITH_SHA512].contains(&by) => &SHA512,
        // Such as Ed25519, for which nobody has said what the hash is.
        _ => return None,
    };
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
