//! A member of a wolf.raft group as the server of 2021 had it: async-raft 0.6.1 over memstore 0.2.0, behind the seed's
//! five RPCs over tonic, gzip both ways, a new connection for each call.
//!
//! `real-peer ID 0=host:port,1=host:port,…`. Lines of the standard input: `write CLIENT SERIAL STATUS` writes, where this
//! member leads; `state` prints the state machine; `metrics` prints the metrics. Each is answered with one line.
mod messages;
mod service {
    include!(concat!(env!("OUT_DIR"), "/wolf.raft.Raft.rs"));
}

use std::collections::HashMap;
use std::sync::Arc;

use async_raft::async_trait::async_trait;
use async_raft::raft::*;
use async_raft::{Config, NodeId, Raft, RaftNetwork};
use memstore::{ClientRequest, ClientResponse, MemStore};
use messages::*;
use tokio::io::{AsyncBufReadExt, BufReader};
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Request, Response, Status};

type Member = Raft<ClientRequest, ClientResponse, Network, MemStore>;

struct Network {
    addresses: HashMap<NodeId, String>,
}

impl Network {
    async fn dial(&self, target: NodeId) -> anyhow::Result<service::raft_client::RaftClient<tonic::transport::Channel>> {
        let address = format!("http://{}", self.addresses[&target]);
        let client = service::raft_client::RaftClient::connect(address).await?;
        Ok(client.send_compressed(Gzip).accept_compressed(Gzip))
    }
}

#[async_trait]
impl RaftNetwork<ClientRequest> for Network {
    async fn append_entries(&self, target: NodeId, rpc: AppendEntriesRequest<ClientRequest>) -> anyhow::Result<AppendEntriesResponse> {
        let request = RaftAppendEntriesReq { msg_id: "append".into(), req: serde_json::to_string(&rpc)? };
        let ok = self.dial(target).await?.append_entries(request).await?.into_inner().outcome()?;
        let conflict_opt = ok.conflict_opt.map(|it| async_raft::raft::ConflictOpt { term: it.term, index: it.index });
        Ok(AppendEntriesResponse { term: ok.term, success: ok.success, conflict_opt })
    }

    async fn install_snapshot(&self, target: NodeId, rpc: InstallSnapshotRequest) -> anyhow::Result<InstallSnapshotResponse> {
        let request = RaftInstallSnapshotReq {
            msg_id: "install".into(),
            term: rpc.term,
            leader_id: rpc.leader_id,
            last_included_index: rpc.last_included_index,
            last_included_term: rpc.last_included_term,
            offset: rpc.offset,
            done: rpc.done,
            data: rpc.data,
        };
        let ok = self.dial(target).await?.install_snapshot(request).await?.into_inner().outcome()?;
        Ok(InstallSnapshotResponse { term: ok.term })
    }

    async fn vote(&self, target: NodeId, rpc: VoteRequest) -> anyhow::Result<VoteResponse> {
        let request = RaftVoteReq {
            msg_id: "vote".into(),
            term: rpc.term,
            candidate_id: rpc.candidate_id,
            last_log_index: rpc.last_log_index,
            last_log_term: rpc.last_log_term,
        };
        let ok = self.dial(target).await?.vote(request).await?.into_inner().outcome()?;
        Ok(VoteResponse { term: ok.term, vote_granted: ok.vote_granted })
    }
}

struct Served {
    id: NodeId,
    member: Arc<Member>,
}

fn failed(msg_id: &str, code: i32, error: impl std::fmt::Display) -> RaftErrorRes {
    RaftErrorRes { msg_id: msg_id.into(), code, msg: error.to_string() }
}

#[tonic::async_trait]
impl service::raft_server::Raft for Served {
    async fn bootstrap(&self, request: Request<RaftBootstrapReq>) -> Result<Response<RaftBootstrapRes>, Status> {
        let RaftBootstrapReq { msg_id, number_of_nodes } = request.into_inner();
        let members = (0..number_of_nodes).chain([self.id]).collect();
        let outcome = self.member.initialize(members).await.map_err(|error| failed(&msg_id, 1, error));
        Ok(Response::new(outcome.map(|_| RaftBootstrapOkRes { msg_id }).into()))
    }

    async fn append_entries(&self, request: Request<RaftAppendEntriesReq>) -> Result<Response<RaftAppendEntriesRes>, Status> {
        let RaftAppendEntriesReq { msg_id, req } = request.into_inner();
        let outcome = match serde_json::from_str(&req) {
            Err(error) => Err(failed(&msg_id, 2, error)),
            Ok(rpc) => self.member.append_entries(rpc).await.map_err(|error| failed(&msg_id, 3, error)),
        };
        let answer = outcome.map(|ok| {
            let conflict_opt = ok.conflict_opt.map(|it| messages::ConflictOpt { term: it.term, index: it.index });
            RaftAppendEntriesOkRes { msg_id, term: ok.term, success: ok.success, conflict_opt }
        });
        Ok(Response::new(answer.into()))
    }

    async fn install_snapshot(&self, request: Request<RaftInstallSnapshotReq>) -> Result<Response<RaftInstallSnapshotRes>, Status> {
        let req = request.into_inner();
        let rpc = InstallSnapshotRequest {
            term: req.term,
            leader_id: req.leader_id,
            last_included_index: req.last_included_index,
            last_included_term: req.last_included_term,
            offset: req.offset,
            data: req.data,
            done: req.done,
        };
        let msg_id = req.msg_id;
        let outcome = self.member.install_snapshot(rpc).await.map_err(|error| failed(&msg_id, 4, error));
        Ok(Response::new(outcome.map(|ok| RaftInstallSnapshotOkRes { msg_id, term: ok.term }).into()))
    }

    async fn vote(&self, request: Request<RaftVoteReq>) -> Result<Response<RaftVoteRes>, Status> {
        let req = request.into_inner();
        let rpc = VoteRequest::new(req.term, req.candidate_id, req.last_log_index, req.last_log_term);
        let msg_id = req.msg_id;
        let outcome = self.member.vote(rpc).await.map_err(|error| failed(&msg_id, 5, error));
        Ok(Response::new(outcome.map(|ok| RaftVoteOkRes { msg_id, term: ok.term, vote_granted: ok.vote_granted }).into()))
    }

    async fn get_metrics(&self, request: Request<RaftGetMetricsReq>) -> Result<Response<RaftGetMetricsRes>, Status> {
        let RaftGetMetricsReq { msg_id } = request.into_inner();
        let metrics = serde_json::to_string(&*self.member.metrics().borrow()).unwrap();
        Ok(Response::new(Ok(RaftGetMetricsOkRes { msg_id, metrics }).into()))
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let id: NodeId = args[1].parse()?;
    let addresses: HashMap<NodeId, String> = args[2]
        .split(',')
        .map(|member| member.split_once('=').unwrap())
        .map(|(id, address)| (id.parse().unwrap(), address.to_string()))
        .collect();
    let listen = addresses[&id].parse()?;
    // Ten times its defaults: a busy machine must not be taken for a dead member.
    let config = Config::build("wolf".into()).heartbeat_interval(500).election_timeout_min(1600).election_timeout_max(2000);
    let config = Arc::new(config.validate()?);
    let store = Arc::new(MemStore::new(id));
    let member = Arc::new(Raft::new(id, config, Arc::new(Network { addresses }), store.clone()));
    let served = Served { id, member: member.clone() };
    let server = service::raft_server::RaftServer::new(served).accept_compressed(Gzip).send_compressed(Gzip).max_decoding_message_size(64 << 20);
    tokio::spawn(tonic::transport::Server::builder().add_service(server).serve(listen));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["write", client, serial, status] => {
                let data = ClientRequest { client: client.into(), serial: serial.parse()?, status: status.into() };
                match member.client_write(ClientWriteRequest::new(data)).await {
                    Ok(_) => "ok".to_string(),
                    Err(error) => format!("refused: {error}"),
                }
            }
            ["state"] => serde_json::to_string(&*store.get_state_machine().await)?,
            ["metrics"] => serde_json::to_string(&*member.metrics().borrow())?,
            _ => anyhow::bail!("unknown: {line}"),
        };
        println!("{answer}");
    }
    Ok(())
}
