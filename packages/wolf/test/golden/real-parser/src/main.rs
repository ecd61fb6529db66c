//! What async-raft 0.6.1 and memstore 0.2.0 make of a text. Each line of the standard input is an array of two texts: what
//! the second one is to be (`append`, `snapshot` or `state`), and the text. Each line of the standard output is null where
//! the real parser refuses it, else the text that the real printer prints for what was read.
use std::io::{BufRead, Write};

use async_raft::raft::AppendEntriesRequest;
use memstore::{ClientRequest, MemStoreSnapshot, MemStoreStateMachine};
use serde::{de::DeserializeOwned, Serialize};

fn again<T: DeserializeOwned + Serialize>(text: &str) -> Option<String> {
    let value: T = serde_json::from_str(text).ok()?;
    Some(serde_json::to_string(&value).unwrap())
}

fn main() {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    for line in std::io::stdin().lock().lines() {
        let (kind, text): (String, String) = serde_json::from_str(&line.unwrap()).unwrap();
        let printed = match kind.as_str() {
            "append" => again::<AppendEntriesRequest<ClientRequest>>(&text),
            "snapshot" => again::<MemStoreSnapshot>(&text),
            "state" => again::<MemStoreStateMachine>(&text),
            other => panic!("unknown kind {other}"),
        };
        writeln!(out, "{}", serde_json::to_string(&printed).unwrap()).unwrap();
    }
}
