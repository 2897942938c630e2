//! Every way in which people write down where their database is, to a [`Location`]: urls of libpq, Prisma, SQLAlchemy, JDBC and the hosting
//! companies, keyword strings, `PG*` variables, `~/.pgpass`. Nothing of it is shown in an error that may be a password. Looks nothing up by
//! itself: whoever calls brings variables and folders along ([`Surroundings`]). What is done with a location is told in `reach` and `tls`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::location::{CONNECT_PATIENCE, ChannelBinding, Host, Location, PORT, Password, Roots, Server, Tls, TlsMode};
use crate::passfile;

/// What a url leaves to the machine that it is used on.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// Environment variables; those whose names begin with `PG` are read.
    pub variables: BTreeMap<String, String>,
    /// The user's home, for `.pgpass` and `.postgresql`.
    pub home: Option<PathBuf>,
    /// The user's name on this machine: the role where nothing names one.
    pub login: String,
    /// Where this machine's server has its socket: the host where nothing names one.
    pub socket_folder: Option<PathBuf>,
}

/// Why a text names no database. No variant holds what may be secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another kind of database, or none.
    #[error("this is no url of a PostgreSQL database")]
    NotPostgres,
    /// A service that speaks another protocol.
    #[error("a prisma:// url leads to a service of Prisma's, not to the database")]
    PrismaService,
    /// A character with a meaning of its own stands where it is only part of a password.
    #[error("the password in the url has a character that must be written otherwise")]
    Unescaped,
    /// What stands behind a colon is no port.
    #[error("the port in the url is no number from 1 to 65535")]
    BadPort,
    /// More or fewer ports than servers.
    #[error("the url names {hosts} servers and {others} {what}")]
    Uneven {
        /// How many servers.
        hosts: usize,
        /// How many of the others.
        others: usize,
        /// What they are.
        what: &'static str,
    },
    /// A keyword string that breaks off or has no `=`.
    #[error("the text is no list of keyword=value pairs: {0}")]
    BadKeywords(&'static str),
    /// A parameter has a value that it cannot have.
    #[error("{name} cannot have this value")]
    BadValue {
        /// Which.
        name: String,
        /// Those it can have.
        can_be: &'static str,
    },
    /// Left out of consideration, it would make the way to the server less safe than its writer meant.
    #[error("the parameter {0} is not known here")]
    NotKnown(String),
    /// Known, but not to be had.
    #[error("{name} cannot be used here")]
    CannotUse {
        /// Which.
        name: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// A file with passwords that others can read.
    #[error("{} holds the password and can be read by others", .0.display())]
    PassfileOpen(PathBuf),
}

impl UrlError {
    /// What to type instead.
    pub fn remedy(&self) -> String {
        match self {
            UrlError::NotPostgres => "write it as postgres://USER:PASSWORD@HOST:5432/DATABASE".to_owned(),
            UrlError::PrismaService => {
                "give the database's own url, which begins with postgres:// (in Prisma projects often DIRECT_URL)"
                    .to_owned()
            }
            UrlError::Unescaped => "write / as %2F, ? as %3F, @ as %40, % as %25 and a space as %20".to_owned(),
            UrlError::BadPort => {
                "write it as HOST:5432; in a password write : as %3A, / as %2F and @ as %40".to_owned()
            }
            UrlError::Uneven { what, .. } => format!("give one of the {what} for all servers, or one for each"),
            UrlError::BadKeywords(_) => {
                "write it as \"host=HOST dbname=DATABASE user=USER\"; values with spaces in '…'".to_owned()
            }
            UrlError::BadValue { name, can_be } => format!("{name} can be {can_be}"),
            UrlError::NotKnown(name) => format!("take {name} out of the url, or correct its name"),
            UrlError::CannotUse { instead, .. } => (*instead).to_owned(),
            UrlError::PassfileOpen(path) => format!("chmod 600 {}", path.display()),
        }
    }
}

type Result<T> = std::result::Result<T, UrlError>;

/// Whether a text is meant to name a PostgreSQL database, however well.
pub fn is_postgres(text: &str) -> bool {
    let text = bare(text);
    match scheme_of(text) {
        Some((scheme, _)) => is_ours(scheme) || is_prisma_service(scheme),
        None => text.split_once('=').is_some_and(|(name, _)| KEYWORDS.contains(&name.trim())),
    }
}

/// Where the database is that a text names; what it leaves open is filled from the surroundings.
///
/// # Errors
/// If it names none, or asks for what cannot be done.
pub fn parse(text: &str, around: &Surroundings) -> Result<Location> {
    let mut given = read(text)?;
    given.fill(around);
    given.locate(around)
}

/// Where the database is that `PG*` variables name; `None` unless they name a server or a database.
///
/// # Errors
/// If they ask for what cannot be done.
pub fn of_variables(around: &Surroundings) -> Result<Option<Location>> {
    let names_one = ["PGHOST", "PGHOSTADDR", "PGDATABASE"].iter().any(|name| around.variable(name).is_some());
    if !names_one {
        return Ok(None);
    }
    let mut given = Given::default();
    given.fill(around);
    given.locate(around).map(Some)
}

impl Surroundings {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A file in the user's `.postgresql`, if it is there.
    fn of_home(&self, name: &str) -> Option<PathBuf> {
        let path = self.home.as_ref()?.join(".postgresql").join(name);
        path.exists().then_some(path)
    }
}

/// What was said, under libpq's names.
#[derive(Default)]
struct Given {
    values: BTreeMap<String, String>,
}

/// Keywords that begin a string which is no url.
const KEYWORDS: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "passfile",
    "sslmode",
    "service",
    "options",
    "application_name",
    "connect_timeout",
    "target_session_attrs",
    "channel_binding",
    "sslrootcert",
];

/// The environment variable of each parameter that has one.
const VARIABLES: &[(&str, &str)] = &[
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("options", "PGOPTIONS"),
    ("sslmode", "PGSSLMODE"),
    ("requiressl", "PGREQUIRESSL"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

/// Other names for the same parameters, of SQLAlchemy, JDBC, Prisma, asyncpg and node-postgres.
const ALIASES: &[(&str, &str)] = &[
    ("username", "user"),
    ("database", "dbname"),
    ("currentSchema", "schema"),
    ("search_path", "schema"),
    ("connectTimeout", "connect_timeout"),
    ("loginTimeout", "connect_timeout"),
    ("targetServerType", "target_session_attrs"),
    ("sslRootCert", "sslrootcert"),
    ("sslrootcertfile", "sslrootcert"),
    ("channelBinding", "channel_binding"),
    ("sslNegotiation", "sslnegotiation"),
    ("direct_tls", "direct_tls"),
];

/// Read for nothing: what they ask for is so anyway, or does not weaken anything.
const HARMLESS: &[&str] = &[
    "sslcompression",
    "sslsni",
    "sslcertmode",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "gsslib",
    "gssdelegation",
    "krbsrvname",
    "sslfactory",
    "sslResponseTimeout",
    "sslkeylogfile",
];

fn bare(text: &str) -> &str {
    let text = text.trim();
    // As hosting companies show it, to be pasted into a shell.
    let text = text.strip_prefix("psql ").unwrap_or(text).trim();
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix("jdbc:").unwrap_or(text);
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
    is_scheme.then_some((scheme, rest))
}

/// `postgresql+asyncpg` names the driver of its program too.
fn is_ours(scheme: &str) -> bool {
    let kind = scheme.split('+').next().unwrap_or_default().to_ascii_lowercase();
    ["postgres", "postgresql", "postgis", "pgsql"].contains(&kind.as_str())
}

fn is_prisma_service(scheme: &str) -> bool {
    ["prisma", "prisma+postgres"].contains(&scheme.to_ascii_lowercase().as_str())
}

fn read(text: &str) -> Result<Given> {
    let text = bare(text);
    match scheme_of(text) {
        Some((scheme, rest)) if is_ours(scheme) => read_url(rest),
        Some((scheme, _)) if is_prisma_service(scheme) => Err(UrlError::PrismaService),
        None if is_postgres(text) => read_keywords(text),
        _ => Err(UrlError::NotPostgres),
    }
}

/// `[USER[:PASSWORD]@][HOST[:PORT],…][/DATABASE][?NAME=VALUE&…]`. Taken apart by ourselves: the rules of the web know one host only.
fn read_url(rest: &str) -> Result<Given> {
    let mut given = Given::default();
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    // The last one: there are passwords with an @ in them that nobody has written as %40.
    let (who, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    // A / or ? in a password ends the authority too early, and an @ is left behind it.
    if who.is_empty()
        && (database.contains('@')
            || query.split('&').next().is_some_and(|first| !first.contains('=') && first.contains('@')))
    {
        return Err(UrlError::Unescaped);
    }
    let (user, password) = who.split_once(':').map_or((who, None), |(user, password)| (user, Some(password)));
    given.set("user", decode(user));
    given.set("password", password.map(decode).unwrap_or_default());
    given.set("dbname", decode(database));
    given.set_hosts(hosts.split(','))?;
    given.read_query(query)?;
    Ok(given)
}

/// `name=value` pairs with spaces in between, as libpq has them: `'…'` around a value, a backslash before what would end it.
fn read_keywords(text: &str) -> Result<Given> {
    let mut given = Given::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(UrlError::BadKeywords("a = is missing"))?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(UrlError::BadKeywords("a = is missing"));
        }
        let (value, after) = keyword_value(after.trim_start())?;
        given.set_parameter(name, value)?;
        rest = after.trim_start();
    }
    Ok(given)
}

fn keyword_value(text: &str) -> Result<(String, &str)> {
    let (text, is_quoted) = text.strip_prefix('\'').map_or((text, false), |inside| (inside, true));
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if is_quoted => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c if !is_quoted && c.is_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if is_quoted { Err(UrlError::BadKeywords("a quote is never closed")) } else { Ok((value, "")) }
}

impl Given {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn set(&mut self, name: &str, value: String) {
        if !value.is_empty() {
            self.values.insert(name.to_owned(), value);
        }
    }

    fn read_query(&mut self, query: &str) -> Result<()> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs: Vec<(&str, String)> = pairs
            .map(|pair| pair.split_once('=').map_or((pair, String::new()), |(name, value)| (name, decode(value))))
            .collect();
        // SQLAlchemy names several servers by several parameters, each with its port.
        let hosts: Vec<&str> =
            pairs.iter().filter(|(name, _)| *name == "host").flat_map(|(_, hosts)| hosts.split(',')).collect();
        if !hosts.is_empty() {
            self.set_hosts(hosts.into_iter())?;
        }
        for (name, value) in &pairs {
            match *name {
                "host" => {}
                name => self.set_parameter(name, value.clone())?,
            }
        }
        Ok(())
    }

    /// Servers with or without ports. Ports that were known stay where none is named.
    fn set_hosts<'a>(&mut self, hosts: impl Iterator<Item = &'a str>) -> Result<()> {
        let split: Vec<(String, &str)> = hosts.map(split_port).collect::<Result<_>>()?;
        let names: Vec<&str> = split.iter().map(|(name, _)| name.as_str()).collect();
        self.set("host", names.join(","));
        if split.iter().any(|(_, port)| !port.is_empty()) {
            self.set("port", split.iter().map(|(_, port)| *port).collect::<Vec<_>>().join(","));
        }
        Ok(())
    }

    fn set_parameter(&mut self, name: &str, value: String) -> Result<()> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| *name);
        let is_about_safety = ["ssl", "tls", "gss", "krb", "require", "host", "pass"]
            .iter()
            .any(|start| name.to_ascii_lowercase().starts_with(start));
        match name {
            name if HARMLESS.contains(&name) => {}
            "sslmode" | "ssl" | "sslaccept" | "sslrootcert" | "sslcert" | "sslkey" | "sslnegotiation"
            | "requiressl" | "host" | "hostaddr" | "passfile" | "password" => self.set(name, value),
            "server_passwords" => self.set(name, value),
            "gssencmode" if value != "require" => {}
            "service" => return Err(cannot_use(name, "write the server out: postgres://USER@HOST/DATABASE")),
            "sslidentity" => {
                return Err(cannot_use(
                    name,
                    "give the certificate and its key as PEM files: sslcert=FILE&sslkey=FILE",
                ));
            }
            // Prisma's examples carry it although it is empty.
            "sslpassword" if value.is_empty() => {}
            "sslpassword" => {
                return Err(cannot_use(
                    name,
                    "give a key without a passphrase, readable for this user only: sslkey=FILE",
                ));
            }
            name if is_about_safety => return Err(UrlError::NotKnown(name.to_owned())),
            name => self.set(name, value),
        }
        Ok(())
    }

    fn fill(&mut self, around: &Surroundings) {
        for (name, variable) in VARIABLES {
            if let (None, Some(value)) = (self.get(name), around.variable(variable)) {
                self.set(name, value.to_owned());
            }
        }
    }

    fn locate(&self, around: &Surroundings) -> Result<Location> {
        let user = self.get("user").unwrap_or(&around.login).to_owned();
        let database = self.get("dbname").unwrap_or(&user).to_owned();
        self.check_target()?;
        let mut location = Location {
            servers: self.servers(around)?,
            database,
            user,
            password: self.get("password").map(Password::new),
            schema: self.get("schema").and_then(first_schema),
            options: self.get("options").map(ToOwned::to_owned),
            tls: self.tls(around)?,
            channel_binding: self.channel_binding()?,
            is_pooled: false,
            connect_timeout: self.connect_timeout()?,
        };
        location.is_pooled = self.get("pgbouncer").is_some_and(is_yes) || location.servers.iter().any(is_known_pooler);
        self.add_passwords(&mut location, around)?;
        Ok(location)
    }

    fn servers(&self, around: &Surroundings) -> Result<Vec<Server>> {
        let addresses = self.list("hostaddr");
        let mut hosts = self.list("host");
        if hosts.is_empty() {
            hosts = if addresses.is_empty() { vec![""] } else { addresses.clone() };
        }
        let even = |what, others: usize| {
            if others <= 1 || others == hosts.len() {
                Ok(())
            } else {
                Err(UrlError::Uneven { hosts: hosts.len(), others, what })
            }
        };
        let ports = self.list("port");
        even("ports", ports.len())?;
        even("addresses", addresses.len())?;
        let server = |(at, host): (usize, &&str)| {
            let port = ports.get(at).or(if ports.len() == 1 { ports.first() } else { None });
            let port = port.filter(|port| !port.is_empty()).map_or(Ok(PORT), |port| port_of(port))?;
            let address = addresses.get(at).filter(|address| !address.is_empty());
            let address =
                address.map(|address| address.parse::<IpAddr>().map_err(|_| bad_value("hostaddr", "an IP address")));
            Ok(Server { address: address.transpose()?, ..Server::new(host_of(host, around), port) })
        };
        hosts.iter().enumerate().map(server).collect()
    }

    fn list(&self, name: &str) -> Vec<&str> {
        self.get(name).map(|list| list.split(',').collect()).unwrap_or_default()
    }

    fn tls(&self, around: &Surroundings) -> Result<Tls> {
        let mut mode = self.tls_mode()?;
        let is_prisma = self.get("sslaccept").is_some() || self.get("schema").is_some();
        let (mut root, mut certificate) = (self.get("sslrootcert"), self.get("sslcert"));
        if is_prisma && self.get("sslkey").is_none() && root.is_none() {
            // What Prisma calls sslcert vouches for the server.
            (root, certificate) = (certificate, None);
        }
        let of_home = around.of_home("root.crt");
        let roots = match (root, of_home) {
            (Some("system"), _) | (None, None) => Roots::System,
            (Some(path), _) => Roots::File(PathBuf::from(path)),
            (None, Some(path)) => Roots::File(path),
        };
        if root == Some("system") && self.get("sslmode").is_none() {
            mode = TlsMode::VerifyFull;
        }
        // As libpq: whoever has put a root certificate there wants it used.
        if mode == TlsMode::Require && matches!(roots, Roots::File(_)) && !self.accepts_anybody() {
            mode = TlsMode::VerifyCa;
        }
        let is_direct = match self.get("sslnegotiation") {
            None | Some("postgres") => false,
            Some("direct") if mode >= TlsMode::Require => true,
            Some("direct") => return Err(cannot_use("sslnegotiation=direct", "it needs sslmode=require or more")),
            Some(_) => return Err(bad_value("sslnegotiation", "postgres or direct")),
        };
        Ok(Tls { mode, roots, identity: self.identity(certificate, around)?, is_direct })
    }

    fn tls_mode(&self) -> Result<TlsMode> {
        let said = self.get("sslmode").map(|mode| {
            Ok(match mode {
                "disable" => TlsMode::Disable,
                "allow" => TlsMode::Allow,
                "prefer" => TlsMode::Prefer,
                // node-postgres' word for what libpq means by require.
                "require" | "no-verify" => TlsMode::Require,
                "verify-ca" => TlsMode::VerifyCa,
                "verify-full" => TlsMode::VerifyFull,
                _ => return Err(bad_value("sslmode", "disable, allow, prefer, require, verify-ca or verify-full")),
            })
        });
        let mode = match (said.transpose()?, self.get("ssl")) {
            (Some(mode), _) => mode,
            (None, Some("false" | "0" | "off" | "disable")) => TlsMode::Disable,
            (None, Some("allow")) => TlsMode::Allow,
            (None, Some("prefer")) => TlsMode::Prefer,
            (None, Some("true" | "1" | "on" | "require" | "no-verify")) => TlsMode::Require,
            (None, Some("verify-ca")) => TlsMode::VerifyCa,
            (None, Some("verify-full")) => TlsMode::VerifyFull,
            (None, Some(_)) => return Err(bad_value("ssl", "true, false, or what sslmode can be")),
            (None, None) if self.get("requiressl") == Some("1") => TlsMode::Require,
            (None, None) => TlsMode::Prefer,
        };
        match self.get("sslaccept") {
            None | Some("accept_invalid_certs") => Ok(mode),
            // Prisma verifies what it accepts, where it is told to.
            Some("strict") if mode != TlsMode::Disable => Ok(TlsMode::VerifyFull),
            Some("strict") => Ok(mode),
            Some(_) => Err(bad_value("sslaccept", "strict or accept_invalid_certs")),
        }
    }

    fn accepts_anybody(&self) -> bool {
        self.get("sslaccept") == Some("accept_invalid_certs")
            || [self.get("sslmode"), self.get("ssl")].contains(&Some("no-verify"))
    }

    fn identity(&self, certificate: Option<&str>, around: &Surroundings) -> Result<Option<(PathBuf, PathBuf)>> {
        let certificate = certificate.map(PathBuf::from).or_else(|| around.of_home("postgresql.crt"));
        let Some(certificate) = certificate else { return Ok(None) };
        match self.get("sslkey").map(PathBuf::from).or_else(|| around.of_home("postgresql.key")) {
            Some(key) => Ok(Some((certificate, key))),
            None => Err(cannot_use("sslcert without sslkey", "name the key of the certificate too: sslkey=FILE")),
        }
    }

    fn channel_binding(&self) -> Result<ChannelBinding> {
        match self.get("channel_binding") {
            Some("disable") => Ok(ChannelBinding::Disable),
            None | Some("prefer") => Ok(ChannelBinding::Prefer),
            Some("require") => Ok(ChannelBinding::Require),
            Some(_) => Err(bad_value("channel_binding", "disable, prefer or require")),
        }
    }

    /// We need the primary, whatever is said; who says that it must be another one means another program.
    fn check_target(&self) -> Result<()> {
        match self.get("target_session_attrs") {
            None
            | Some(
                "any" | "read-write" | "primary" | "prefer-standby" | "master" | "preferSecondary" | "preferPrimary",
            ) => Ok(()),
            Some("read-only" | "standby" | "secondary" | "slave") => {
                Err(cannot_use("a standby", "rowmesh writes: give the url of the primary"))
            }
            Some(_) => Err(bad_value("target_session_attrs", "any, read-write or primary")),
        }
    }

    fn connect_timeout(&self) -> Result<Duration> {
        let Some(said) = self.get("connect_timeout") else { return Ok(CONNECT_PATIENCE) };
        let seconds: i64 = said.parse().map_err(|_| bad_value("connect_timeout", "a number of seconds"))?;
        // For ever is what libpq means by zero; nobody waits for ever here.
        Ok(if seconds <= 0 { CONNECT_PATIENCE } else { Duration::from_secs(seconds.unsigned_abs()) })
    }

    fn add_passwords(&self, location: &mut Location, around: &Surroundings) -> Result<()> {
        if let Some(list) = self.get("server_passwords") {
            for (server, password) in location.servers.iter_mut().zip(list.split(',')) {
                server.password = Some(decode(password)).filter(|password| !password.is_empty()).map(Password::new);
            }
            return Ok(());
        }
        let named = self.get("passfile").map(PathBuf::from);
        let Some(path) = named.or_else(|| around.home.as_ref().map(|home| home.join(".pgpass"))) else { return Ok(()) };
        if location.password.is_none() {
            passfile::add_passwords(location, &path)?;
        }
        Ok(())
    }
}

fn split_port(host: &str) -> Result<(String, &str)> {
    if let Some((name, after)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return match after.strip_prefix(':') {
            Some(port) => Ok((decode(name), port)),
            None if after.is_empty() => Ok((decode(name), "")),
            None => Err(UrlError::BadPort),
        };
    }
    match host.split_once(':') {
        // A folder, such as Google's /cloudsql/project:region:instance.
        _ if host.starts_with('/') => Ok((host.to_owned(), "")),
        Some((name, port)) => Ok((decode(name), port)),
        None => Ok((decode(host), "")),
    }
}

fn port_of(text: &str) -> Result<u16> {
    text.parse().ok().filter(|port| *port > 0).ok_or(UrlError::BadPort)
}

fn host_of(host: &str, around: &Surroundings) -> Host {
    match (host, &around.socket_folder) {
        ("", Some(folder)) => Host::Folder(folder.clone()),
        ("", None) => Host::Name("localhost".to_owned()),
        (folder, _) if folder.starts_with('/') => Host::Folder(PathBuf::from(folder)),
        (name, _) => Host::Name(name.to_owned()),
    }
}

/// The first schema of a search path that is no stand-in for the user's own.
fn first_schema(path: &str) -> Option<String> {
    let names = path.split(',').map(|name| name.trim().trim_matches('"'));
    names.filter(|name| !name.is_empty() && *name != "$user").map(ToOwned::to_owned).next()
}

/// Servers that are known to be poolers in transaction mode by their names.
fn is_known_pooler(server: &Server) -> bool {
    let Host::Name(name) = &server.host else { return false };
    let is_neon =
        name.ends_with(".neon.tech") && name.split('.').next().is_some_and(|first| first.ends_with("-pooler"));
    let is_supabase = (name.ends_with(".pooler.supabase.com") || name.ends_with(".supabase.co")) && server.port == 6543;
    is_neon || is_supabase
}

fn is_yes(text: &str) -> bool {
    ["true", "1", "yes", "on"].contains(&text)
}

fn bad_value(name: &str, can_be: &'static str) -> UrlError {
    UrlError::BadValue { name: name.to_owned(), can_be }
}

fn cannot_use(name: &str, instead: &'static str) -> UrlError {
    UrlError::CannotUse { name: name.to_owned(), instead }
}

/// `%20` and its like; what is no such sequence stands for itself, as a percent sign in a password.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .filter(|hex| bytes[at] == b'%' && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// Everything but letters, digits and `-._~` as `%XX`.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

impl Location {
    /// The server behind a pooler, where its name follows from the pooler's.
    pub fn direct(&self) -> Option<Location> {
        let mut direct = Location { is_pooled: false, ..self.clone() };
        for server in direct.servers.iter_mut().filter(|server| is_known_pooler(server)) {
            let Host::Name(name) = &mut server.host else { continue };
            *name = name.replacen("-pooler.", ".", 1);
            if server.port == 6543 {
                server.port = PORT;
            }
        }
        (direct.servers != self.servers).then_some(direct)
    }

    /// One url that says all of it, passwords included: what [`parse`] makes the same location of without any surroundings. For programs,
    /// never to be shown.
    pub fn reveal(&self) -> String {
        let hosts: Vec<String> = self
            .servers
            .iter()
            .map(|server| match &server.host {
                Host::Name(name) => format!("{}:{}", encode(name), server.port),
                Host::Folder(folder) => format!("{}:{}", encode(&folder.to_string_lossy()), server.port),
            })
            .collect();
        let password =
            self.password.as_ref().map(|password| format!(":{}", encode(password.reveal()))).unwrap_or_default();
        let parameters: Vec<String> =
            self.parameters().into_iter().map(|(name, value)| format!("{name}={}", encode(&value))).collect();
        let (user, database) = (encode(&self.user), encode(&self.database));
        let mark = if parameters.is_empty() { "" } else { "?" };
        format!("postgres://{user}{password}@{}/{database}{mark}{}", hosts.join(","), parameters.join("&"))
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mode = match self.tls.mode {
            TlsMode::Disable => "disable",
            TlsMode::Allow => "allow",
            TlsMode::Prefer => "prefer",
            TlsMode::Require if matches!(self.tls.roots, Roots::File(_)) => "no-verify",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify-ca",
            TlsMode::VerifyFull => "verify-full",
        };
        let binding = match self.channel_binding {
            ChannelBinding::Disable => "disable",
            ChannelBinding::Prefer => "prefer",
            ChannelBinding::Require => "require",
        };
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let root = match &self.tls.roots {
            Roots::System => "system".to_owned(),
            Roots::File(path) => text(path),
        };
        let seconds = self.connect_timeout.as_secs().to_string();
        let usual_timeout = CONNECT_PATIENCE.as_secs().to_string();
        let with_defaults = [
            ("sslmode", mode.to_owned(), "prefer"),
            ("sslrootcert", root, "system"),
            ("channel_binding", binding.to_owned(), "prefer"),
            ("connect_timeout", seconds, usual_timeout.as_str()),
        ];
        let is_said = |(_, value, default): &(_, String, &str)| value != default;
        let mut all: Vec<_> = with_defaults.into_iter().filter(is_said).map(|(name, value, _)| (name, value)).collect();
        if let Some((certificate, key)) = &self.tls.identity {
            all.extend([("sslcert", text(certificate)), ("sslkey", text(key))]);
        }
        if self.tls.is_direct {
            all.push(("sslnegotiation", "direct".to_owned()));
        }
        all.extend(self.schema.clone().map(|schema| ("schema", schema)));
        all.extend(self.options.clone().map(|options| ("options", options)));
        if self.is_pooled {
            all.push(("pgbouncer", "true".to_owned()));
        }
        if self.servers.iter().any(|server| server.address.is_some()) {
            let addresses =
                self.servers.iter().map(|server| server.address.map(|address| address.to_string()).unwrap_or_default());
            all.push(("hostaddr", addresses.collect::<Vec<_>>().join(",")));
        }
        let passwords = self
            .servers
            .iter()
            .map(|server| server.password.as_ref().map(|password| encode(password.reveal())).unwrap_or_default());
        all.push(("server_passwords", passwords.collect::<Vec<_>>().join(",")));
        all.retain(|(_, value)| !value.is_empty());
        all
    }
}
