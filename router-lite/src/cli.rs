//! The command line of the binary `router-lite`.

use std::net::SocketAddr;

use clap::{Parser, error::ErrorKind};
use router_lite::{Config, ConfigError, RemoteAccess, limits};

/// A minimal CLASP router.
///
/// Prints one line, `listening on ws://ADDRESS:PORT`, once it accepts clients. Stops on SIGINT and SIGTERM, at once on
/// the second one. Logs to the standard error output.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Args {
    /// Address and port to listen on; may be given several times. Port 0 lets the system choose. `[::]` takes IPv4 as
    /// well, and means 0.0.0.0 where there is no IPv6.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:7330")]
    bind: Vec<SocketAddr>,

    /// The name told to clients: 1 to 128 bytes.
    #[arg(long, default_value_t = Config::default().name().to_owned())]
    name: String,

    /// Sessions at a time: 1 to 65536.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, default_value_t = limits::MAX_SESSIONS)]
    max_sessions: usize,

    /// Messages a second from one session: 1 to 1000000, or 0 for no limit.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, default_value_t = limits::RATE)]
    rate: u32,

    /// What sessions from other machines, and web pages from elsewhere, may do: `signaling` (find peers and exchange P2P
    /// signals) or `full`, which includes reading `/metrics`.
    #[arg(long, value_name = "ACCESS", default_value_t = RemoteAccess::default())]
    remote: RemoteAccess,

    /// What to log, as in RUST_LOG: a level, or `module=level` with commas.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "warn")]
    log: String,
}

impl Args {
    /// Reads the command line. On an error, prints it and exits with code 2.
    pub(crate) fn read() -> (Config, String) {
        let args = Self::parse();
        if let Err(error) = env_filter::Builder::new().try_parse(&args.log) {
            refuse(&format!("log: {error}"));
        }
        match args.config() {
            Ok(config) => (config, args.log),
            Err(error) => refuse(&error.to_string()),
        }
    }

    fn config(&self) -> Result<Config, ConfigError> {
        Config::default()
            .with_bind(&self.bind)?
            .with_name(&self.name)?
            .with_max_sessions(self.max_sessions)?
            .with_rate(self.rate)
            .map(|config| config.with_remote(self.remote))
    }
}

fn refuse(why: &str) -> ! {
    clap::Error::raw(ErrorKind::ValueValidation, format!("--{why}\n")).exit()
}
