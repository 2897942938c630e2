//! Every spelling of a database's place that people bring along, each to the exact location; and what is said of those that name none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rowmesh_postgres::location::{
    CONNECT_PATIENCE, ChannelBinding, Host, Location, PORT, Password, Roots, Server, Tls, TlsMode,
};
use rowmesh_postgres::url::{Surroundings, UrlError, is_postgres, of_variables, parse};

/// `postgres://app:secret@db.example/shop`, of which each row of the table tells the difference.
fn usual() -> Location {
    let server = Server::new(Host::Name("db.example".into()), PORT);
    Location {
        servers: vec![server],
        password: Some(Password::new("secret")),
        ..Location::socket("/unused", PORT, "shop", "app")
    }
}

fn with_host(name: &str) -> Location {
    Location { servers: vec![Server::new(Host::Name(name.into()), PORT)], ..usual() }
}

fn with_servers(servers: &[(&str, u16)]) -> Location {
    let servers = servers.iter().map(|(name, port)| Server::new(Host::Name((*name).into()), *port)).collect();
    Location { servers, ..usual() }
}

fn with_folder(folder: &str) -> Location {
    Location { servers: vec![Server::new(Host::Folder(folder.into()), PORT)], ..usual() }
}

fn with_password(password: &str) -> Location {
    Location { password: Some(Password::new(password)), ..usual() }
}

fn with_mode(mode: TlsMode) -> Location {
    Location { tls: Tls { mode, ..Tls::default() }, ..usual() }
}

fn with_root(mode: TlsMode, file: &str) -> Location {
    Location { tls: Tls { mode, roots: Roots::File(file.into()), ..Tls::default() }, ..usual() }
}

fn with_identity(mode: TlsMode) -> Location {
    let identity = Some((PathBuf::from("c.pem"), PathBuf::from("k.pem")));
    Location { tls: Tls { identity, ..with_root(mode, "ca.pem").tls }, ..usual() }
}

fn with_schema(schema: &str) -> Location {
    Location { schema: Some(schema.into()), ..usual() }
}

fn without_password(location: Location) -> Location {
    Location { password: None, ..location }
}

/// On a machine whose user is `login` and which has nothing else to say.
fn around() -> Surroundings {
    Surroundings { login: "login".into(), ..Surroundings::default() }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_spelling_is_understood_exactly() {
    use TlsMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
    let pooled = |location: Location| Location { is_pooled: true, ..location };
    let timeout = |seconds| Location { connect_timeout: Duration::from_secs(seconds), ..usual() };
    let bound = |binding, location: Location| Location { channel_binding: binding, ..location };
    let neon = |name: &str| bound(ChannelBinding::Require, Location { tls: with_mode(Require).tls, ..with_host(name) });
    let supabase = |user: &str, name: &str, port: u16| Location { user: user.into(), ..with_servers(&[(name, port)]) };
    let table: Vec<(&str, Location)> = vec![
        // Plain.
        ("postgres://app:secret@db.example/shop", usual()),
        ("postgresql://app:secret@db.example/shop", usual()),
        ("POSTGRES://app:secret@db.example/shop", usual()),
        ("postgis://app:secret@db.example/shop", usual()),
        ("pgsql://app:secret@db.example/shop", usual()),
        ("postgres://app:secret@db.example:5432/shop", usual()),
        ("postgres://app:secret@db.example:6000/shop", with_servers(&[("db.example", 6000)])),
        ("postgres://app:secret@db.example:/shop", usual()),
        ("postgres://app@db.example/shop", without_password(usual())),
        ("postgres://app:@db.example/shop", without_password(usual())),
        ("  postgres://app:secret@db.example/shop\n", usual()),
        ("'postgres://app:secret@db.example/shop'", usual()),
        ("psql 'postgresql://app:secret@db.example/shop'", usual()),
        ("postgres://db.example/shop?user=app&password=secret", usual()),
        ("postgres://app:secret@10.0.0.7/shop", with_host("10.0.0.7")),
        ("postgres://app:secret@[2001:db8::1]:5432/shop", with_host("2001:db8::1")),
        ("postgres://app:secret@[::1]/shop", with_host("::1")),
        ("postgres://app:secret@db.example/caf%C3%A9", Location { database: "café".into(), ..usual() }),
        ("postgres://app:secret@db.example/?dbname=shop", usual()),
        ("postgres://app:secret@db.example", Location { database: "app".into(), ..usual() }),
        ("postgres://db.example/shop", Location { user: "login".into(), ..without_password(usual()) }),
        ("postgres:///shop", Location { user: "login".into(), ..without_password(with_host("localhost")) }),
        // Passwords.
        ("postgres://app:a%2Fb%3Fc%40d@db.example/shop", with_password("a/b?c@d")),
        ("postgres://app:100%25@db.example/shop", with_password("100%")),
        ("postgres://app:100%@db.example/shop", with_password("100%")),
        ("postgres://app:50%zz@db.example/shop", with_password("50%zz")),
        ("postgres://app:p@ss@db.example/shop", with_password("p@ss")),
        ("postgres://app:a:b#c@db.example/shop", with_password("a:b#c")),
        ("postgres://app:a+b@db.example/shop", with_password("a+b")),
        ("postgres://a%40b:secret@db.example/shop", Location { user: "a@b".into(), ..usual() }),
        // Several servers.
        ("postgres://app:secret@one,two/shop", with_servers(&[("one", 5432), ("two", 5432)])),
        (
            "postgres://app:secret@one:1,two:2/shop?target_session_attrs=read-write",
            with_servers(&[("one", 1), ("two", 2)]),
        ),
        (
            "postgres://app:secret@one:1,two/shop?target_session_attrs=primary",
            with_servers(&[("one", 1), ("two", 5432)]),
        ),
        ("postgresql+psycopg2://app:secret@/shop?host=one:1&host=two:2", with_servers(&[("one", 1), ("two", 2)])),
        ("host=one,two port=1,2 dbname=shop user=app password=secret", with_servers(&[("one", 1), ("two", 2)])),
        ("host=one,two port=7 dbname=shop user=app password=secret", with_servers(&[("one", 7), ("two", 7)])),
        // Sockets.
        ("postgres://app:secret@%2Fvar%2Frun%2Fpostgresql/shop", with_folder("/var/run/postgresql")),
        ("postgres://app:secret@/shop?host=/var/run/postgresql", with_folder("/var/run/postgresql")),
        ("postgres:///shop?host=/var/run/postgresql&user=app&password=secret", with_folder("/var/run/postgresql")),
        (
            "postgresql://app:secret@localhost/shop?host=/cloudsql/shop:europe:main",
            with_folder("/cloudsql/shop:europe:main"),
        ),
        (
            "postgres://app:secret@%2Frun%2Fpg:6000/shop",
            Location { servers: vec![Server::new(Host::Folder("/run/pg".into()), 6000)], ..usual() },
        ),
        ("host=/var/run/postgresql dbname=shop user=app password=secret", with_folder("/var/run/postgresql")),
        // Prisma.
        ("postgresql://app:secret@db.example:5432/shop?schema=public", with_schema("public")),
        (
            "postgresql://app:secret@db.example/shop?schema=tenant&connection_limit=5&pool_timeout=2",
            with_schema("tenant"),
        ),
        (
            "postgresql://app:secret@db.example/shop?connect_timeout=30&socket_timeout=10&statement_cache_size=0",
            timeout(30),
        ),
        ("postgresql://app:secret@db.example/shop?pgbouncer=true", pooled(usual())),
        ("postgresql://app:secret@db.example/shop?pgbouncer=false", usual()),
        ("postgresql://app:secret@db.example/shop?sslmode=require&sslaccept=strict", with_mode(VerifyFull)),
        ("postgresql://app:secret@db.example/shop?sslmode=require&sslaccept=accept_invalid_certs", with_mode(Require)),
        ("postgresql://app:secret@db.example/shop?sslaccept=strict&sslcert=ca.pem", with_root(VerifyFull, "ca.pem")),
        ("postgresql://app:secret@db.example/shop?sslpassword=&sslmode=prefer", usual()),
        // SQLAlchemy, Django, Rails, JDBC, asyncpg, node-postgres.
        ("postgresql+psycopg://app:secret@db.example/shop", usual()),
        ("postgresql+psycopg2://app:secret@db.example/shop", usual()),
        ("postgresql+asyncpg://app:secret@db.example/shop?prepared_statement_cache_size=0", usual()),
        ("postgresql+asyncpg://app:secret@db.example/shop?ssl=require", with_mode(Require)),
        ("postgresql+pg8000://app:secret@db.example/shop", usual()),
        ("postgresql+psycopg2cffi://app:secret@db.example/shop?application_name=till", usual()),
        (
            "postgres://app:secret@db.example/shop?pool=5&timeout=5000&encoding=unicode&prepared_statements=false",
            usual(),
        ),
        ("postgres://app:secret@db.example/shop?conn_max_age=600", usual()),
        ("postgres://app:secret@db.example/shop?search_path=sales,public", with_schema("sales")),
        ("postgres://app:secret@db.example/shop?search_path=\"$user\",sales", with_schema("sales")),
        ("jdbc:postgresql://db.example:5432/shop?user=app&password=secret&currentSchema=sales", with_schema("sales")),
        (
            "jdbc:postgresql://db.example/shop?user=app&password=secret&ssl=true&loginTimeout=5",
            Location { tls: with_mode(Require).tls, ..timeout(5) },
        ),
        ("postgres://app:secret@db.example/shop?ssl=true", with_mode(Require)),
        ("postgres://app:secret@db.example/shop?ssl=false", with_mode(Disable)),
        ("postgres://app:secret@db.example/shop?sslmode=no-verify", with_mode(Require)),
        ("postgres://app:secret@db.example/shop?requiressl=1", with_mode(Require)),
        // Hosting companies.
        (
            "postgresql://app:secret@ep-cool-leaf-123.eu-central-1.aws.neon.tech/shop?sslmode=require&channel_binding=require",
            neon("ep-cool-leaf-123.eu-central-1.aws.neon.tech"),
        ),
        (
            "postgresql://app:secret@ep-cool-leaf-123-pooler.eu-central-1.aws.neon.tech/shop?sslmode=require&channel_binding=require",
            pooled(neon("ep-cool-leaf-123-pooler.eu-central-1.aws.neon.tech")),
        ),
        (
            "postgresql://app:secret@db.example/shop?options=endpoint%3Dep-cool-leaf-123",
            Location { options: Some("endpoint=ep-cool-leaf-123".into()), ..usual() },
        ),
        ("postgresql://app:secret@db.abcdefgh.supabase.co:5432/shop", with_host("db.abcdefgh.supabase.co")),
        (
            "postgresql://app.abcdefgh:secret@aws-0-eu-west-1.pooler.supabase.com:6543/shop?pgbouncer=true",
            pooled(supabase("app.abcdefgh", "aws-0-eu-west-1.pooler.supabase.com", 6543)),
        ),
        (
            "postgres://app.abcdefgh:secret@aws-0-eu-west-1.pooler.supabase.com:6543/shop?sslmode=require&supa=base-pooler.x",
            Location {
                tls: with_mode(Require).tls,
                ..pooled(supabase("app.abcdefgh", "aws-0-eu-west-1.pooler.supabase.com", 6543))
            },
        ),
        (
            "postgresql://app.abcdefgh:secret@aws-0-eu-west-1.pooler.supabase.com:5432/shop",
            supabase("app.abcdefgh", "aws-0-eu-west-1.pooler.supabase.com", 5432),
        ),
        (
            "postgres://app:secret@ec2-54-1-2-3.compute-1.amazonaws.com:5432/shop",
            with_host("ec2-54-1-2-3.compute-1.amazonaws.com"),
        ),
        (
            "postgres://app:secret@shop.c1x2.eu-central-1.rds.amazonaws.com:5432/shop?sslmode=verify-full&sslrootcert=global-bundle.pem",
            Location {
                tls: with_root(VerifyFull, "global-bundle.pem").tls,
                ..with_host("shop.c1x2.eu-central-1.rds.amazonaws.com")
            },
        ),
        (
            "postgres://app%40shop:secret@shop.postgres.database.azure.com:5432/shop?sslmode=require",
            Location {
                user: "app@shop".into(),
                tls: with_mode(Require).tls,
                ..with_host("shop.postgres.database.azure.com")
            },
        ),
        // TLS.
        ("postgres://app:secret@db.example/shop?sslmode=disable", with_mode(Disable)),
        ("postgres://app:secret@db.example/shop?sslmode=allow", with_mode(Allow)),
        ("postgres://app:secret@db.example/shop?sslmode=prefer", with_mode(Prefer)),
        ("postgres://app:secret@db.example/shop?sslmode=require", with_mode(Require)),
        ("postgres://app:secret@db.example/shop?sslmode=verify-ca", with_mode(VerifyCa)),
        ("postgres://app:secret@db.example/shop?sslmode=verify-full", with_mode(VerifyFull)),
        ("postgres://app:secret@db.example/shop?sslmode=verify-ca&sslrootcert=ca.pem", with_root(VerifyCa, "ca.pem")),
        ("postgres://app:secret@db.example/shop?sslmode=require&sslrootcert=ca.pem", with_root(VerifyCa, "ca.pem")),
        ("postgres://app:secret@db.example/shop?sslrootcert=system", with_mode(VerifyFull)),
        (
            "postgres://app:secret@db.example/shop?sslmode=verify-full&sslrootcert=ca.pem&sslcert=c.pem&sslkey=k.pem",
            with_identity(VerifyFull),
        ),
        (
            "postgres://app:secret@db.example/shop?sslmode=require&sslnegotiation=direct&sslsni=1",
            Location { tls: Tls { is_direct: true, ..with_mode(Require).tls }, ..usual() },
        ),
        ("postgres://app:secret@db.example/shop?channel_binding=disable", bound(ChannelBinding::Disable, usual())),
        // Keyword strings.
        ("host=db.example dbname=shop user=app password=secret", usual()),
        ("host = db.example  dbname = shop user=app password = 'secret'", usual()),
        ("dbname=shop host=db.example user=app password='a b\\'c\\\\d'", with_password("a b'c\\d")),
        (
            "dbname=shop host=db.example user=app password=a\\ b sslmode=require",
            Location { tls: with_mode(Require).tls, ..with_password("a b") },
        ),
        (
            "host=db.example hostaddr=10.0.0.7 dbname=shop user=app password=secret",
            Location {
                servers: vec![Server { address: Some("10.0.0.7".parse().unwrap()), ..usual().servers[0].clone() }],
                ..usual()
            },
        ),
        ("host=db.example dbname=shop user=app password=secret connect_timeout=0", timeout(CONNECT_PATIENCE.as_secs())),
        (
            "host=db.example dbname=shop user=app password=secret options='-c geqo=off'",
            Location { options: Some("-c geqo=off".into()), ..usual() },
        ),
    ];
    assert!(table.len() >= 60, "{}", table.len());
    for (text, expected) in &table {
        assert!(is_postgres(text), "{text}");
        let location = parse(text, &around()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(location, *expected, "{text}");
        // A program can hand it on.
        assert_eq!(parse(&location.reveal(), &Surroundings::default()).as_ref(), Ok(expected), "{text}");
        assert!(!format!("{location} {location:?}").contains("secret"), "{text}");
    }
}

#[test]
fn what_names_no_database_says_what_to_type() {
    let check = |text: &str, remedy: &str| {
        let error = parse(text, &around()).expect_err(text);
        let told = format!("{error}. {}", error.remedy());
        assert!(told.contains(remedy), "{text}: {told}");
        assert!(!format!("{told} {error:?}").contains("s3cret"), "{text}: {told} {error:?}");
    };
    check("mysql://app:s3cret@db.example/shop", "postgres://USER:PASSWORD@HOST:5432/DATABASE");
    check("shop.db", "postgres://USER:PASSWORD@HOST:5432/DATABASE");
    check("", "postgres://USER:PASSWORD@HOST:5432/DATABASE");
    check("prisma://accelerate.example/?api_key=s3cret", "DIRECT_URL");
    check("prisma+postgres://accelerate.example/?api_key=s3cret", "DIRECT_URL");
    check("postgres://app:s3cret/x@db.example/shop", "write / as %2F");
    check("postgres://app:s3cret?x@db.example/shop", "? as %3F");
    check("postgres://app:s3cret", "HOST:5432");
    check("postgres://app@db.example:s3cret/shop", "HOST:5432");
    check("postgres://db.example:0/shop", "no number from 1 to 65535");
    check("postgres://db.example:70000/shop", "no number from 1 to 65535");
    check("postgres://[::1]x/shop", "no number from 1 to 65535");
    check("host=one,two port=1,2,3 dbname=shop", "2 servers and 3 ports");
    check("host=one hostaddr=10.0.0.1,10.0.0.2", "1 servers and 2 addresses");
    check("host=one hostaddr=here", "an IP address");
    check("postgres://db.example/shop?sslmode=s3cret", "verify-ca or verify-full");
    check("postgres://db.example/shop?ssl=maybe", "ssl can be true, false");
    check("postgres://db.example/shop?sslaccept=always", "strict or accept_invalid_certs");
    check("postgres://db.example/shop?sslmod=verify-full", "take sslmod out of the url, or correct its name");
    check("postgres://db.example/shop?sslcrl=list.pem", "take sslcrl out");
    check("postgres://db.example/shop?require_auth=scram-sha-256", "take require_auth out");
    check("postgres://db.example/shop?gssencmode=require", "take gssencmode out");
    check("postgres://db.example/shop?channel_binding=always", "disable, prefer or require");
    check("postgres://db.example/shop?sslidentity=id.p12&sslpassword=s3cret", "as PEM files");
    check("postgres://db.example/shop?sslkey=k.pem&sslcert=c.pem&sslpassword=s3cret", "without a passphrase");
    check("postgres://db.example/shop?sslcert=c.pem", "sslkey=FILE");
    check("postgres://db.example/shop?sslnegotiation=direct", "sslmode=require");
    check("postgres://db.example/shop?target_session_attrs=standby", "url of the primary");
    check("postgres://db.example/shop?target_session_attrs=whatever", "any, read-write or primary");
    check("postgres://db.example/shop?connect_timeout=soon", "number of seconds");
    check("service=shop", "write the server out");
    check("host=db.example password='s3cret", "never closed");
    check("host=db.example s3cret", "a = is missing");
}

#[test]
fn other_texts_are_not_taken_for_postgres() {
    for text in ["shop.db", "file:./dev.db", "sqlite:///a=b.db", "mysql://host/db", "a=b.db", "/srv/host=1/shop.db", ""]
    {
        assert!(!is_postgres(text), "{text}");
    }
}

#[test]
fn variables_fill_what_the_text_leaves_open_and_name_a_database_themselves() {
    let with = |variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Surroundings { variables, ..around() }
    };
    let all = [
        ("PGHOST", "db.example"),
        ("PGPORT", "5432"),
        ("PGDATABASE", "shop"),
        ("PGUSER", "app"),
        ("PGPASSWORD", "secret"),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "ca.pem"),
        ("PGCONNECT_TIMEOUT", ""),
    ];
    let full = with_root(TlsMode::VerifyFull, "ca.pem");
    assert_eq!(of_variables(&with(&all)), Ok(Some(full.clone())));
    assert_eq!(parse("postgres://", &with(&all)), Ok(full.clone()));
    assert_eq!(
        parse("postgres://other:word@db.example/x?sslmode=disable", &with(&all)),
        Ok(Location {
            user: "other".into(),
            database: "x".into(),
            password: Some(Password::new("word")),
            tls: Tls { mode: TlsMode::Disable, ..full.tls },
            ..usual()
        })
    );
    // A role alone, as some shells have it set, names no database.
    assert_eq!(of_variables(&with(&[("PGUSER", "app"), ("PGPASSWORD", "secret")])), Ok(None));
    let named = of_variables(&with(&[("PGDATABASE", "shop"), ("PGUSER", "app"), ("PGPASSWORD", "secret")]));
    assert_eq!(named, Ok(Some(with_host("localhost"))));
    let socket = Surroundings { socket_folder: Some("/run/postgresql".into()), ..with(&[("PGDATABASE", "shop")]) };
    let named = of_variables(&socket).unwrap().unwrap();
    assert_eq!(named, Location::socket("/run/postgresql", PORT, "shop", "login"));
}

#[test]
fn files_of_the_home_folder_are_used_as_libpq_uses_them() {
    let home = tempfile::tempdir().unwrap();
    let around = Surroundings { home: Some(home.path().to_owned()), ..around() };
    let pgpass = home.path().join(".pgpass");
    let protect = |mode| fs::set_permissions(&pgpass, fs::Permissions::from_mode(mode)).unwrap();
    fs::write(&pgpass, "one:*:shop:app:first\n*:*:shop:app:secret\n").unwrap();
    protect(0o600);
    let password_of = |text: &str| -> Vec<Option<String>> {
        let location = parse(text, &around).unwrap();
        assert_eq!(parse(&location.reveal(), &Surroundings::default()).as_ref(), Ok(&location));
        let passwords = location.servers.iter().map(|server| location.password_for(server));
        passwords.map(|password| password.map(|password| password.reveal().to_owned())).collect()
    };
    let some = |password: &str| Some(password.to_owned());
    assert_eq!(password_of("postgres://app@one,two/shop"), [some("first"), some("secret")]);
    assert_eq!(password_of("postgres://app:mine@one/shop"), [some("mine")]);
    assert_eq!(password_of("postgres://other@one/shop"), [None]);
    protect(0o640);
    let refused = parse("postgres://app@one/shop", &around).expect_err("others may read it");
    assert_eq!(refused, UrlError::PassfileOpen(pgpass.clone()));
    assert!(refused.remedy().starts_with("chmod 600 "), "{}", refused.remedy());
    assert_eq!(password_of("postgres://app:mine@one/shop"), [some("mine")], "where it is not needed nothing is said");

    let folder = home.path().join(".postgresql");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("root.crt"), "").unwrap();
    let tls = |query: &str| parse(&format!("postgres://app:x@one/shop?{query}"), &around).unwrap().tls;
    assert_eq!(tls("sslmode=require").mode, TlsMode::VerifyCa);
    assert_eq!(tls("sslmode=verify-full").roots, Roots::File(folder.join("root.crt")));
    assert_eq!(tls("sslmode=verify-full&sslrootcert=system").roots, Roots::System);
    fs::write(folder.join("postgresql.crt"), "").unwrap();
    fs::write(folder.join("postgresql.key"), "").unwrap();
    assert_eq!(tls("").identity, Some((folder.join("postgresql.crt"), folder.join("postgresql.key"))));
}

#[test]
fn the_server_behind_a_known_pooler_is_named() {
    let direct = |text: &str| parse(text, &around()).unwrap().direct().map(|direct| direct.to_string());
    let neon = "postgres://app:secret@ep-a-1-pooler.aws.neon.tech/shop";
    assert_eq!(direct(neon).as_deref(), Some("postgres://app@ep-a-1.aws.neon.tech:5432/shop"));
    let supabase = "postgres://app.ref:secret@aws-0.pooler.supabase.com:6543/shop";
    assert_eq!(direct(supabase).as_deref(), Some("postgres://app.ref@aws-0.pooler.supabase.com:5432/shop"));
    assert_eq!(direct("postgres://app:secret@db.example/shop?pgbouncer=true"), None);
}
