//! Ends of a connection that do what ours never would: other certificates, lying signatures, hand-written HTTP/2. Made
//! without the code under test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, date_time_ymd};
use rowmesh::transport::ALPN;
use rowmesh_core::ident::NodeId;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureAlgorithm, SignatureScheme,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// What one end shows and signs with; each may be somebody else's.
#[derive(Clone)]
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: Arc<dyn SigningKey>,
    pub node: NodeId,
}

impl Identity {
    pub fn ed25519() -> Identity {
        Identity::dated((1975, 4096))
    }

    pub fn dated((from, to): (i32, i32)) -> Identity {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(vec!["elsewhere.example".into()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        Identity::of(&pair, params)
    }

    pub fn p256() -> Identity {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let identity = Identity::of(&pair, CertificateParams::default());
        Identity { key: Arc::new(LyingKey(identity.key.clone())), ..identity }
    }

    pub fn rsa() -> Identity {
        let certificate = data_encoding::BASE64.decode(RSA_CERTIFICATE.replace('\n', "").as_bytes()).unwrap();
        Identity { chain: vec![certificate.into()], ..Identity::ed25519() }
    }

    /// A certificate that is Ed25519's but for the algorithm, which is X25519's.
    pub fn x25519() -> Identity {
        let identity = Identity::ed25519();
        let mut certificate = identity.chain[0].to_vec();
        let oid = [0x06, 0x03, 0x2b, 0x65, 0x70];
        for at in 0..certificate.len() - oid.len() {
            if certificate[at..at + oid.len()] == oid {
                certificate[at + 4] = 0x6e;
            }
        }
        Identity { chain: vec![certificate.into()], ..identity }
    }

    /// The certificate of one node with the key of another.
    pub fn signing_with(&self, other: &Identity) -> Identity {
        Identity { key: other.key.clone(), ..self.clone() }
    }

    pub fn showing(&self, chain: Vec<CertificateDer<'static>>) -> Identity {
        Identity { chain, ..self.clone() }
    }

    fn of(pair: &KeyPair, params: CertificateParams) -> Identity {
        let certificate = params.self_signed(pair).unwrap().der().clone();
        let key = any_supported_type(&PrivatePkcs8KeyDer::from(pair.serialize_der()).into()).unwrap();
        let node = NodeId(*blake3::hash(pair.public_key_raw()).as_bytes());
        Identity { chain: vec![certificate], key, node }
    }

    fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(CertifiedKey::new(self.chain.clone(), self.key.clone()).into())
    }
}

/// Signs with whatever it has and calls it Ed25519.
#[derive(Debug)]
struct LyingKey(Arc<dyn SigningKey>);

#[derive(Debug)]
struct LyingSigner(Box<dyn Signer>);

impl SigningKey for LyingKey {
    fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.0.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])?;
        Some(Box::new(LyingSigner(signer)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for LyingSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(message)
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

pub fn client_config(identity: Option<&Identity>, alpn: &[&[u8]]) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::disabled();
    config
}

pub fn server_config(identity: &Identity, alpn: &[&[u8]]) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Gullible))
        .with_cert_resolver(identity.resolver());
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

pub async fn tls_connect(config: ClientConfig, address: SocketAddr) -> std::io::Result<client::TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::from(address.ip()), tcp).await
}

/// Our protocol's client side with any identity.
pub async fn connect_as(identity: &Identity, address: SocketAddr) -> std::io::Result<client::TlsStream<TcpStream>> {
    tls_connect(client_config(Some(identity), &[ALPN]), address).await
}

/// One request over a raw connection, by an HTTP client that is not ours.
pub async fn post(
    stream: client::TlsStream<TcpStream>,
    path: &str,
    body: &[u8],
) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::post(format!("https://any{path}")).body(Full::new(Bytes::copy_from_slice(body)))?;
    let response = tokio::time::timeout(super::FOREVER, sender.send_request(request)).await??;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await?.to_bytes();
    driver.abort();
    Ok((status, bytes))
}

/// Listens and hands each finished handshake to `act`.
pub async fn tls_server<F, A>(config: ServerConfig, act: A) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
    A: Fn(server::TlsStream<TcpStream>) -> F + Send + Sync + 'static,
{
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(tcp).await {
                tokio::spawn(act(stream));
            }
        }
    });
    address
}

/// Listens without TLS and hands each connection to `act`.
pub async fn tcp_server<F, A>(act: A) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
    A: Fn(TcpStream) -> F + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(act(tcp));
        }
    });
    address
}

/// Forwards both directions; cuts the connection when `bytes_max` have come back from `target`.
pub async fn relay(target: SocketAddr, bytes_max: u64) -> SocketAddr {
    tcp_server(move |client| async move {
        let server = TcpStream::connect(target).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (from_server, mut to_server) = server.into_split();
        let forth = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let _ = tokio::io::copy(&mut from_server.take(bytes_max), &mut to_client).await;
        forth.abort();
    })
    .await
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// `:status 200`, from HPACK's static table.
pub const STATUS_200: &[u8] = &[0x88];

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `POST path`, in HPACK without Huffman coding.
pub fn post_headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x87, 0x04, path.len() as u8];
    block.extend(path.bytes());
    block.extend([0x01, 1, b'x']);
    block
}

/// Reads until the other end closes; fails the test if it does not.
pub async fn closes_within(stream: &mut (impl AsyncReadExt + Unpin), time: Duration) -> bool {
    let mut sink = [0; 4_096];
    let drained = async { while stream.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {} };
    tokio::time::timeout(time, drained).await.is_ok()
}

pub async fn write(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
}

/// Lets everybody in, as no real end may.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

impl ClientCertVerifier for Gullible {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// A self-signed certificate for an RSA key that nobody has kept; ring can make none.
const RSA_CERTIFICATE: &str = "
MIIB9jCCAV+gAwIBAgIUBLbbTKqoNCKwBACWyHJVBohZZpAwDQYJKoZIhvcNAQELBQAwDDEKMAgGA1UEAwwBcjAgFw0yNjExMjIx
MjEzMTRaGA8yMTI2MTAyOTEyMTMxNFowDDEKMAgGA1UEAwwBcjCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAqm7roKbcd3IJ
fWQii9YFQktMJn0gz/EWCY+0k6bn2NifnCyhORUdnaJ5mcwaBeEkac/YxAPspjqBgUBMSAUZVLuwWOHOX24SphZrI98CSBYcXGyG
NO3m2QBZvSm0neW3iV6sf4CMChWbg3wo9DLswQ5RqtcazoFlrjZ4PRtGb+kCAwEAAaNTMFEwHQYDVR0OBBYEFBq5KIPPWyziZZfd
Yf5Up5ht4b6aMB8GA1UdIwQYMBaAFBq5KIPPWyziZZfdYf5Up5ht4b6aMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQAD
gYEAJLZLnHEuCtRhy4M1D1f8biUktpef4LFQ0R/vjw/EYJcjv5uP+Wb1EJG9o9sS0bCdTknma+Gfyit8R0Wrw6+YXOpkknzEZ8e2
Vc2QXXR54vYWjuRhrIYxw5RRuKciDomeskzQmvAmBTU1/7R4h4C6v0Gt71guGTsMDD1s1PdPA1A=
";
