//! The transport over loopback: what gets through, what does not, and what is said about it. `raw` has the hostile ends.
//! Deliberately not here: what a roster thinks of a peer; the handler of these tests plays its part.

mod bodies;
mod clients;
mod dialling;
mod handshakes;
mod patience;
mod raw;
mod servers;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rowmesh::identity::NodeKey;
use rowmesh::transport::{
    ClientLimits, Connection, Handler, IncomingRequest, OutgoingBody, OutgoingResponse, PeerInfo, Server, ServerLimits,
    connect,
};
use rowmesh_core::ident::NodeId;
use tokio::sync::Notify;
use tokio::time::timeout;

/// No test waits for this to pass; it turns one that hangs into one that fails.
const FOREVER: Duration = Duration::from_secs(20);

/// A handler whose paths do what the tests need.
#[derive(Default)]
struct Scripted {
    /// Every request that came through, in order.
    seen: Mutex<Vec<(PeerInfo, String)>>,
    refused: Mutex<BTreeSet<NodeId>>,
    strangers: Mutex<BTreeSet<NodeId>>,
    release: Notify,
    /// Requests to `/hold` that ended without being released.
    dropped: Notify,
    /// What went wrong with the bodies sent to `/slurp`.
    slurped: Mutex<Vec<Result<usize, String>>>,
    slurp_ended: Notify,
}

impl Handler for Scripted {
    async fn handle(&self, request: IncomingRequest) -> OutgoingResponse {
        let IncomingRequest { peer, path, body } = request;
        self.seen.lock().unwrap().push((peer, path.clone()));
        if self.refused.lock().unwrap().contains(&peer.node) {
            return OutgoingResponse::new(403, "RM-unknown-peer");
        }
        match path.as_str() {
            "/whoami" => OutgoingResponse::new(200, peer.node.0.to_vec()),
            "/exporter" => OutgoingResponse::new(200, peer.exporter.to_vec()),
            "/echo" => match body.whole(64 << 20).await {
                Ok(bytes) => OutgoingResponse::new(200, bytes),
                Err(error) => OutgoingResponse::new(400, error.to_string()),
            },
            "/small" => match body.whole(1_000).await {
                Ok(_) => OutgoingResponse::new(200, ""),
                Err(error) => OutgoingResponse::new(413, error.to_string()),
            },
            "/slurp" => {
                let result = slurp(body).await;
                self.slurped.lock().unwrap().push(result);
                self.slurp_ended.notify_one();
                OutgoingResponse::new(200, "")
            }
            "/hold" => {
                let mut guard = TellWhenDropped(Some(&self.dropped));
                self.release.notified().await;
                guard.0 = None;
                OutgoingResponse::new(200, "released")
            }
            "/big" => OutgoingResponse::new(200, vec![7; 8 << 20]),
            "/stream" => streamed(3, true),
            "/abandoned" => streamed(3, false),
            "/stalled" => {
                let (sender, body) = OutgoingBody::stream(1);
                tokio::spawn(async move {
                    sender.send("begun").await.unwrap();
                    std::future::pending::<()>().await;
                    drop(sender);
                });
                OutgoingResponse { status: 200, body }
            }
            "/panic" => panic!("a handler that panics, on purpose"),
            _ => OutgoingResponse::new(404, ""),
        }
    }

    fn knows(&self, node: NodeId) -> bool {
        !self.strangers.lock().unwrap().contains(&node)
    }
}

struct TellWhenDropped<'a>(Option<&'a Notify>);

impl Drop for TellWhenDropped<'_> {
    fn drop(&mut self) {
        if let Some(dropped) = self.0 {
            dropped.notify_one();
        }
    }
}

async fn slurp(mut body: rowmesh::transport::IncomingBody) -> Result<usize, String> {
    let mut bytes = 0;
    while let Some(chunk) = body.chunk().await.map_err(|error| error.to_string())? {
        bytes += chunk.len();
    }
    Ok(bytes)
}

/// Chunks of a thousand bytes each.
fn streamed(chunks: u8, finished: bool) -> OutgoingResponse {
    let (sender, body) = OutgoingBody::stream(1);
    tokio::spawn(async move {
        for n in 0..chunks {
            sender.send(vec![n; 1_000]).await.unwrap();
        }
        if finished {
            sender.finish().await.unwrap();
        }
    });
    OutgoingResponse { status: 200, body }
}

/// A listening node.
struct Host {
    key: Arc<NodeKey>,
    server: Server,
    handler: Arc<Scripted>,
}

impl Host {
    async fn start() -> Host {
        Host::with(ServerLimits::default()).await
    }

    async fn with(limits: ServerLimits) -> Host {
        let key = key();
        let handler = Arc::new(Scripted::default());
        let server = Server::bind("127.0.0.1:0", &key, handler.clone(), limits).await.unwrap();
        Host { key, server, handler }
    }

    fn id(&self) -> NodeId {
        self.key.node_id()
    }

    fn address(&self) -> SocketAddr {
        self.server.local_address()
    }

    fn addresses(&self) -> Vec<String> {
        vec![self.address().to_string()]
    }

    async fn dial(&self, from: &Arc<NodeKey>) -> Connection {
        let (addresses, limits) = (self.addresses(), ClientLimits::default());
        timeout(FOREVER, connect(from, self.id(), &addresses, &limits)).await.unwrap().unwrap()
    }

    fn requests_seen(&self) -> usize {
        self.handler.seen.lock().unwrap().len()
    }
}

fn key() -> Arc<NodeKey> {
    Arc::new(NodeKey::generate().unwrap())
}
