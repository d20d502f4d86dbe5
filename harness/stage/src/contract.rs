//! The clauses of a scenario, really asked: each on a connection of its own, from a client of its own.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use record::{Expected, token, wire};
use scenarios::{Clause, Door, Plan, Told};
use server::tls::{Connector, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::fabric::{connect, timeout};
use crate::{StageError, Standing};

/// How long an answer's head is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is sent of a larger body: who refuses it does so by its head.
const MOST: usize = 4 << 20;
/// An answer's head is far shorter.
const HEAD: usize = 64 << 10;

impl Standing<'_> {
    /// Asks every clause of the plan, and judges what is told.
    pub(crate) async fn contract(&mut self) -> Result<Vec<Expected>, StageError> {
        let plan = Arc::clone(&self.host.plan);
        let mut judged = Vec::new();
        for (number, clause) in plan.contract.iter().enumerate() {
            // Their limits are their own: clients of the load come from the other end of the block.
            let client = self.host.place.lease().clients() - 1 - number as u32;
            let lease = self.host.place.lease();
            let address = lease.client(client);
            let said = self.host.fabric.proof().map(|proof| format!("{}: {address} {proof}\r\n", wire::CLIENT));
            let (from, at) = (lease.bind(address), self.door_of(clause.door));
            let tls = self.front.as_ref().filter(|_| clause.door == Door::IngressTls);
            let connector = tls.map(|front| front.authority.connector.clone());
            let told = match at {
                None => Told::default(),
                Some(at) => {
                    let more = said.unwrap_or_default();
                    let asking = timeout(PATIENCE, ask(&plan, clause, number, (from, client, more), at, connector));
                    let told = self.during(asking).await?;
                    told.ok().and_then(Result::ok).unwrap_or_default()
                }
            };
            // Who is told nothing has status 0.
            let told = Told { status: told.status.or(Some(0)), ..told };
            judged.push(clause.judge(&plan, Some(&told)));
        }
        Ok(judged)
    }

    fn door_of(&self, door: Door) -> Option<SocketAddr> {
        match door {
            Door::Gateway => self.doors().first().map(|door| door.addr),
            Door::Ingress => self.front()?.http,
            Door::IngressTls => self.front()?.https,
        }
    }
}

async fn ask(
    plan: &Plan,
    clause: &Clause,
    number: usize,
    (from, client, more): (Ipv4Addr, u32, String),
    to: SocketAddr,
    connector: Option<Connector>,
) -> io::Result<Told> {
    let seed = plan.load.seed;
    let body = clause.body(seed, number);
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{}: {}\r\n",
        clause.method,
        clause.path,
        clause.host,
        wire::REQUEST,
        Clause::request(number)
    );
    if clause.token {
        head += &format!("authorization: {}\r\n", token::bearer(seed, u64::from(client)));
    }
    if let Some(payload) = &clause.payload {
        head += &format!("content-type: {}\r\ncontent-length: {}\r\n", payload.content_type(), body.len());
    }
    for (name, value) in &clause.send {
        head += &format!("{name}: {value}\r\n");
    }
    head += &more;
    head += "\r\n";
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body[..body.len().min(MOST)]);
    let stream = connect(from, to).await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
    match connector {
        None => told(stream, &bytes).await,
        Some(connector) => {
            let host = ServerName::try_from(clause.host.clone()).map_err(io::Error::other)?;
            told(connector.connect(host, stream).await?, &bytes).await
        }
    }
}

/// Sends a request and reads the head of its answer.
async fn told(stream: impl AsyncRead + AsyncWrite, request: &[u8]) -> io::Result<Told> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut head = Vec::new();
    let sending = async {
        // Who has answered already need not read the rest.
        write.write_all(request).await.ok();
        write.flush().await.ok();
        std::future::pending::<()>().await;
    };
    let reading = async {
        let mut piece = [0; 4 << 10];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD {
            match read.read(&mut piece).await? {
                0 => break,
                length => head.extend_from_slice(&piece[..length]),
            }
        }
        Ok::<_, io::Error>(())
    };
    tokio::select! {
        read = reading => read?,
        () = sending => {}
    }
    let text = String::from_utf8_lossy(&head);
    let text = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Ok(Told { status, headers: lines.filter_map(pair).collect::<BTreeMap<_, _>>() })
}
