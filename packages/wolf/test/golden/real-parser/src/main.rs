//! What async-raft 0.6.1 and memstore 0.2.0 make of a text. Each line of the standard input is an array of two texts: what
//! the second one is (`append`, `snapshot`, `state`, or `apply`), and the text. Each line of the standard output is null
//! where the real parser refuses it, else the text that the real printer prints for what was read. `apply` is an array of
//! client requests; what is printed is the state of a memstore that applied them.
use std::io::{BufRead, Write};

use async_raft::{raft::AppendEntriesRequest, RaftStorage};
use memstore::{ClientRequest, MemStore, MemStoreSnapshot, MemStoreStateMachine};
use serde::{de::DeserializeOwned, Serialize};

fn again<T: DeserializeOwned + Serialize>(text: &str) -> Option<String> {
    let value: T = serde_json::from_str(text).ok()?;
    Some(serde_json::to_string(&value).unwrap())
}

async fn apply(text: &str) -> Option<String> {
    let requests: Vec<ClientRequest> = serde_json::from_str(text).ok()?;
    let store = MemStore::new(0);
    let indices: Vec<u64> = (1..=requests.len() as u64).collect();
    let entries: Vec<_> = indices.iter().zip(requests.iter()).collect();
    store.replicate_to_state_machine(&entries).await.unwrap();
    let state = store.get_state_machine().await;
    Some(serde_json::to_string(&*state).unwrap())
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut out = std::io::BufWriter::new(std::io::stdout());
    for line in std::io::stdin().lock().lines() {
        let (kind, text): (String, String) = serde_json::from_str(&line.unwrap()).unwrap();
        let printed = match kind.as_str() {
            "append" => again::<AppendEntriesRequest<ClientRequest>>(&text),
            "snapshot" => again::<MemStoreSnapshot>(&text),
            "state" => again::<MemStoreStateMachine>(&text),
            "apply" => runtime.block_on(apply(&text)),
            other => panic!("unknown kind {other}"),
        };
        writeln!(out, "{}", serde_json::to_string(&printed).unwrap()).unwrap();
    }
}
