//! TLS, against a server with certificates made here: what each `sslmode` accepts, and what it refuses before anything is said.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rowmesh_postgres::connection::Session;
use rowmesh_postgres::error::Error;
use rowmesh_postgres::location::Location;
use rowmesh_postgres::url::{Surroundings, parse};

use crate::cluster::Cluster;

/// A server that is reached by name and by address, and the files that clients need.
struct Protected {
    cluster: Arc<Cluster>,
    files: tempfile::TempDir,
    port: u16,
}

impl Protected {
    /// A server that takes protected connections only, whose certificate is for `localhost`, signed by an authority of its own. The role
    /// `card` proves itself by a certificate, `app` by its password.
    fn new() -> Protected {
        let port = free_port();
        let settings = ["listen_addresses = '127.0.0.1'", "ssl = off", &format!("port = {port}")];
        let cluster = Cluster::own(&settings);
        let files = tempfile::tempdir().unwrap();
        let protected = Protected { cluster, files, port };
        protected.make_certificates();
        protected
    }

    fn make_certificates(&self) {
        let authority = authority("the shop's authority");
        std::fs::write(self.file("ca.pem"), pem("CERTIFICATE", authority.der())).unwrap();
        std::fs::write(self.file("other-ca.pem"), pem("CERTIFICATE", self::authority("somebody else").der())).unwrap();
        let (server, server_key) = signed(&authority, &["localhost"], "localhost");
        std::fs::write(self.file("server.pem"), &server).unwrap();
        let (client, client_key) = signed(&authority, &[], "card");
        std::fs::write(self.file("client.pem"), client).unwrap();
        std::fs::write(self.file("client.key"), client_key).unwrap();

        self.cluster.keep("server.crt", &server);
        self.cluster.keep("server.key", &server_key);
        self.cluster.keep("ca.crt", &pem("CERTIFICATE", authority.der()));
        let session = Session::open(&self.socket()).unwrap();
        session.batch("CREATE ROLE app LOGIN PASSWORD 'secret'").unwrap();
        session.batch("CREATE ROLE card LOGIN").unwrap();
        for setting in ["ssl = on", "ssl_ca_file = 'ca.crt'"] {
            session.batch(&format!("ALTER SYSTEM SET {setting}")).unwrap();
        }
        drop(session);
        self.cluster.allow("local all all trust\nhostssl all card all cert\nhostssl all app all scram-sha-256\n");
    }

    fn socket(&self) -> Location {
        let mut location = self.cluster.location("postgres");
        location.servers[0].port = self.port;
        location
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Opens a session by a url; `{ca.pem}` in it is the path of that file.
    fn open(&self, user: &str, host: &str, query: &str) -> Result<Session, Error> {
        let files = ["ca.pem", "other-ca.pem", "server.pem", "client.pem", "client.key"];
        let path = |name: &str| self.file(name).display().to_string();
        let query =
            files.iter().fold(query.to_owned(), |query, name| query.replace(&format!("{{{name}}}"), &path(name)));
        let url = format!("postgres://{user}@{host}:{}/postgres?{query}", self.port);
        Session::open(&parse(&url, &Surroundings::default()).expect("a good url"))
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signed(authority: &CertifiedIssuer<'static, KeyPair>, names: &[&str], common: &str) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

/// Taken and given back: the server takes it a moment later.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn is_protected(session: &Session) -> bool {
    session.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).unwrap().get(0)
}

#[test]
fn each_mode_accepts_what_it_should_and_nothing_else() {
    let server = Protected::new();
    let accepts = |host: &str, query: &str| {
        let session = server.open("app:secret", host, query).unwrap_or_else(|error| panic!("{host} {query}: {error}"));
        assert!(is_protected(&session), "{host} {query}");
    };
    let refuses = |host: &str, query: &str, said: &str| {
        let refused = server.open("app:secret", host, query).map(drop).expect_err(query);
        assert!(refused.to_string().contains(said), "{host} {query}: {refused}");
        assert!(!format!("{refused:?}").contains("secret"), "{refused:?}");
        refused.code()
    };
    accepts("localhost", "");
    accepts("localhost", "sslmode=allow");
    accepts("localhost", "sslmode=prefer");
    accepts("127.0.0.1", "sslmode=require");
    accepts("localhost", "sslmode=require&sslrootcert={ca.pem}");
    accepts("localhost", "sslmode=verify-ca&sslrootcert={ca.pem}");
    accepts("127.0.0.1", "sslmode=verify-ca&sslrootcert={ca.pem}");
    accepts("localhost", "sslmode=verify-full&sslrootcert={ca.pem}");
    // A server's own certificate may stand in the list of roots.
    accepts("localhost", "sslmode=verify-full&sslrootcert={server.pem}");
    accepts("localhost", "sslaccept=strict&sslcert={ca.pem}");
    accepts("other.example", "sslmode=verify-ca&sslrootcert={ca.pem}&hostaddr=127.0.0.1");

    assert_eq!(refuses("localhost", "sslmode=disable", "no encryption"), "RM3202");
    for query in ["sslmode=require", "sslmode=verify-ca", "sslmode=verify-full"] {
        let query = format!("{query}&sslrootcert={{other-ca.pem}}");
        assert_eq!(refuses("localhost", &query, "UnknownIssuer"), "RM1212");
    }
    assert_eq!(refuses("127.0.0.1", "sslmode=verify-full&sslrootcert={ca.pem}", "certificate"), "RM1212");
    let other_name = "sslmode=verify-full&sslrootcert={ca.pem}&hostaddr=127.0.0.1";
    assert_eq!(refuses("other.example", other_name, "certificate"), "RM1212");
    let own = "sslmode=verify-full&sslrootcert={server.pem}&hostaddr=127.0.0.1";
    assert_eq!(refuses("other.example", own, "certificate"), "RM1212");
    // Nobody whom this machine trusts has signed it.
    assert_eq!(refuses("localhost", "sslmode=verify-full&sslrootcert={client.pem}", "UnknownIssuer"), "RM1212");
    assert!(["RM1211", "RM1212"].contains(&refuses("localhost", "sslmode=verify-full", "")));
    assert_eq!(refuses("localhost", "sslmode=verify-full&sslrootcert=/no/such/file", "/no/such/file"), "RM1211");
    assert_eq!(
        refuses("localhost", "sslmode=verify-ca&sslrootcert={client.key}", "cannot be used as sslrootcert"),
        "RM1211"
    );
}

#[test]
fn a_client_proves_itself_by_its_certificate() {
    let server = Protected::new();
    let query = "sslmode=verify-full&sslrootcert={ca.pem}&sslcert={client.pem}&sslkey={client.key}";
    assert!(is_protected(&server.open("card", "localhost", query).expect("the certificate is the card's")));
    let refused = server.open("card", "localhost", "sslmode=require").map(drop).expect_err("without it");
    assert_eq!(refused.code(), "RM3202", "{refused}");
    let mixed = query.replace("{client.key}", "{ca.pem}");
    assert_eq!(server.open("card", "localhost", &mixed).map(drop).expect_err("no key").code(), "RM1211");
}

#[test]
fn the_proof_of_the_password_is_bound_to_the_certificate() {
    let server = Protected::new();
    let bound = |query: &str| server.open("app:secret", "localhost", query).map(drop);
    bound("sslmode=require&channel_binding=require").expect("the server can");
    bound("sslmode=require&channel_binding=disable").expect("nobody wants it");
    let refused = bound("sslmode=allow&channel_binding=require&sslrootcert={ca.pem}");
    refused.expect("allow goes on to a protected connection where the plain one is refused");
}

#[test]
fn a_server_without_tls_is_refused_where_protection_is_demanded() {
    let port = free_port();
    let cluster = Cluster::own(&["listen_addresses = '127.0.0.1'", &format!("port = {port}")]);
    let open = |query: &str| {
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?{query}");
        Session::open(&parse(&url, &Surroundings::default()).unwrap())
    };
    for query in ["", "sslmode=disable", "sslmode=allow", "sslmode=prefer"] {
        assert!(!is_protected(&open(query).expect(query)), "{query}");
    }
    let refused = open("sslmode=require").map(drop).expect_err("the server has no TLS");
    assert_eq!(refused.code(), "RM1212");
    assert!(refused.to_string().contains("server does not support TLS"), "{refused}");
    assert!(Path::new(cluster.folder()).exists());
}
