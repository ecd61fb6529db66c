#!/usr/bin/env bash
# memstore 0.2.0, the store that async-raft 0.6.1 is shown with, looks for the members of a snapshot in the last ConfigChange
# of its log. Its first compaction replaces that entry with a SnapshotPointer, which holds the members too but is not looked
# at; so the second snapshot says that the cluster has one member, the node that made it. A follower that installs it takes
# that for its membership. Exits with 0 as long as that is so, with 1 when it has changed. Needs cargo.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "second-compaction"
version = "0.0.0"
edition = "2021"

[dependencies]
async-raft = "=0.6.1"
memstore = "=0.2.0"
tokio = { version = "1", default-features = false, features = ["rt"] }
TOML
cat >src/main.rs <<'RS'
use async_raft::raft::{Entry, EntryConfigChange, EntryNormal, EntryPayload, MembershipConfig};
use async_raft::RaftStorage;
use memstore::{ClientRequest, MemStore};

async fn write(store: &MemStore, index: u64) {
    let data = ClientRequest { client: "c".into(), serial: index, status: "s".into() };
    let payload = EntryPayload::Normal(EntryNormal { data: data.clone() });
    store.append_entry_to_log(&Entry { term: 1, index, payload }).await.unwrap();
    store.apply_entry_to_state_machine(&index, &data).await.unwrap();
}

async fn members(store: &MemStore) -> Vec<u64> {
    let snapshot = store.do_log_compaction().await.unwrap();
    let mut members: Vec<u64> = snapshot.membership.members.into_iter().collect();
    members.sort();
    members
}

async fn run() -> bool {
    let store = MemStore::new(0);
    let membership = MembershipConfig { members: [0, 1, 2].into(), members_after_consensus: None };
    let payload = EntryPayload::ConfigChange(EntryConfigChange { membership });
    store.append_entry_to_log(&Entry { term: 1, index: 1, payload }).await.unwrap();
    write(&store, 2).await;
    let first = members(&store).await;
    write(&store, 3).await;
    let second = members(&store).await;
    println!("memstore 0.2.0: members 0, 1, 2; in the first snapshot {first:?}, in the second {second:?}");
    first == [0, 1, 2] && second == [0]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    std::process::exit(if runtime.block_on(run()) { 0 } else { 1 });
}
RS
cargo run --quiet
