//! Connections of the real database that others than services hold: what a job that leaks them does.
//!
//! They are opened from this machine and do nothing. They end with the fault, with the run, and with this process.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};

/// Nobody of power: what PostgreSQL keeps back for superusers stays free.
const USER: &str = "stranger";
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Held {
    clients: Vec<tokio_postgres::Client>,
    /// How often they have left: who comes while the others leave does not stay behind.
    left: u32,
}

/// Whoever holds connections now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strangers {
    held: Arc<Mutex<Held>>,
}

impl Strangers {
    /// Opens connections until as many as wanted are open or no more is let in: how many that are.
    pub(crate) async fn come(&self, address: Ipv4Addr, port: u16, wanted: u32) -> Result<u32, String> {
        let mut config = Config::new();
        config.host(address.to_string()).port(port).user(USER).dbname("postgres").connect_timeout(PATIENCE);
        let left = self.lock().left;
        let mut got = 0;
        while got < wanted {
            match config.connect(NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection); // it ends with its client
                    let mut held = self.lock();
                    if held.left > left {
                        break; // the fault was over before they were all there
                    }
                    held.clients.push(client);
                    got += 1;
                }
                Err(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => break,
                Err(error) => return Err(format!("after {got} of {wanted}: {error}")),
            }
        }
        Ok(got)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all of them.
    pub(crate) fn leave(&self) {
        let mut held = self.lock();
        held.clients.clear();
        held.left += 1;
    }
}
