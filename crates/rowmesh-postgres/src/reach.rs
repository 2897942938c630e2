//! Which of a location's servers lets us in, and over which kind of connection: what libpq does for `sslmode` and several hosts. What a session
//! is set to is told in `connection`.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding as DriverBinding, SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, Socket};

use crate::error::{Error, Result};
use crate::location::{ChannelBinding, Host, Location, Server, TlsMode};
use crate::tls::Connector;

/// How long the way to the server may be silent before it is asked whether anybody is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// How long bytes may stay unconfirmed before the way to the server counts as broken.
const UNCONFIRMED_PATIENCE: Duration = Duration::from_secs(60);

/// A connection that a server has accepted.
pub struct Reached {
    /// To ask it with.
    pub client: Client,
    /// Carries the messages; ends with the connection.
    pub driver: JoinHandle<()>,
    /// Who let us in.
    pub server: Server,
    /// Its version, as it says it.
    pub version: String,
}

impl Reached {
    /// 17 of 17.2 and of 17beta1; 0 of what is no number.
    pub fn major_version(&self) -> u32 {
        self.version.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }
}

/// The first server of the location that lets us in. `is_wanted` may send us on to the next.
///
/// # Errors
/// What the last server said; the first that refuses the login or has no such database ends the search.
pub async fn reach(location: &Location, is_wanted: impl AsyncFn(&Reached) -> Result<()>) -> Result<Reached> {
    let mut last = None;
    for server in &location.servers {
        let reached = match reach_server(location, server).await {
            Ok(reached) => is_wanted(&reached).await.map(|()| reached),
            Err(error) => Err(error),
        };
        match reached {
            Err(error @ (Error::Unreachable { .. } | Error::Standby(_))) => last = Some(error),
            settled => return settled,
        }
    }
    Err(last.expect("a location has a server"))
}

/// With and without TLS, in the order that the mode wants.
async fn reach_server(location: &Location, server: &Server) -> Result<Reached> {
    let plain = async || attempt(location, server, SslMode::Disable, NoTls).await;
    let protected = async || attempt(location, server, SslMode::Require, Connector::new(&location.tls)?).await;
    if matches!(server.host, Host::Folder(_)) {
        return plain().await;
    }
    match location.tls.mode {
        TlsMode::Disable => plain().await,
        TlsMode::Allow => match plain().await {
            Err(error) if is_about_the_way(&error) => protected().await,
            settled => settled,
        },
        TlsMode::Prefer => match protected().await {
            Err(error) if is_about_the_way(&error) => plain().await,
            settled => settled,
        },
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => protected().await,
    }
}

/// Whether the server may let us in the other way, with TLS or without. A wrong password is wrong either way, and would count twice.
fn is_about_the_way(error: &Error) -> bool {
    matches!(error, Error::Untrusted { .. } | Error::LoginRefused { is_about_password: false, .. })
}

async fn attempt<T>(location: &Location, server: &Server, mode: SslMode, tls: T) -> Result<Reached>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let config = config(location, server, mode);
    let patience = location.connect_timeout;
    match tokio::time::timeout(patience, config.connect(tls)).await {
        Ok(Ok((client, connection))) => {
            let version = connection.parameter("server_version").unwrap_or_default().to_owned();
            let driver = tokio::spawn(async {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a session ended");
                }
            });
            Ok(Reached { client, driver, server: server.clone(), version })
        }
        Ok(Err(error)) => Err(explain(location, server, error)),
        Err(_) => {
            let said = format!("no answer within {} s", patience.as_secs());
            Err(Error::Unreachable { server: server.to_string(), said })
        }
    }
}

fn config(location: &Location, server: &Server, mode: SslMode) -> Config {
    let mut config = Config::new();
    match &server.host {
        Host::Name(name) => config.host(name),
        Host::Folder(folder) => config.host_path(folder),
    };
    if let Some(address) = server.address {
        config.hostaddr(address);
    }
    config.port(server.port).dbname(&location.database).user(&location.user).application_name("rowmesh");
    config.ssl_mode(mode).channel_binding(match location.channel_binding {
        ChannelBinding::Disable => DriverBinding::Disable,
        ChannelBinding::Prefer => DriverBinding::Prefer,
        ChannelBinding::Require => DriverBinding::Require,
    });
    if location.tls.is_direct && mode == SslMode::Require {
        config.ssl_negotiation(SslNegotiation::Direct);
    }
    if let Some(password) = location.password_for(server) {
        config.password(password.reveal());
    }
    if let Some(options) = &location.options {
        config.options(options);
    }
    config
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES);
    config.tcp_user_timeout(UNCONFIRMED_PATIENCE);
    config
}

/// What it means that a connection did not come about.
fn explain(location: &Location, server: &Server, error: tokio_postgres::Error) -> Error {
    let server = server.to_string();
    let said = words_of(&error);
    let Some(refused) = error.as_db_error() else {
        // The driver tells its kinds of failure apart by their words only.
        return match error.to_string() {
            words if words.starts_with("error performing TLS handshake") => Error::Untrusted { server, said },
            words if words.starts_with("authentication error") || words.starts_with("invalid configuration") => {
                // Such as a password that is missing, or a binding to TLS that cannot be had without.
                let is_about_password = location.channel_binding != ChannelBinding::Require;
                Error::LoginRefused { server, user: location.user.clone(), said, is_about_password }
            }
            _ => Error::Unreachable { server, said },
        };
    };
    match *refused.code() {
        ref state @ (SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            let is_about_password = *state == SqlState::INVALID_PASSWORD;
            Error::LoginRefused { server, user: location.user.clone(), said, is_about_password }
        }
        SqlState::INVALID_CATALOG_NAME => Error::DatabaseMissing { server, database: location.database.clone() },
        SqlState::CANNOT_CONNECT_NOW | SqlState::TOO_MANY_CONNECTIONS => Error::Unreachable { server, said },
        // What poolers say of servers that they cannot reach, and of settings that they do not pass on.
        ref state if state.code().starts_with("08") => Error::Unreachable { server, said },
        _ => Error::Postgres(error),
    }
}

/// The innermost words: those around them say only that something failed.
fn words_of(error: &tokio_postgres::Error) -> String {
    if let Some(refused) = error.as_db_error() {
        return refused.message().to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
