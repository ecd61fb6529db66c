//! The messages of the seed's proto, word for word.
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct RaftErrorRes {
    #[prost(string, tag = "1")]
    pub msg_id: String,
    #[prost(int32, tag = "2")]
    pub code: i32,
    #[prost(string, tag = "3")]
    pub msg: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct RaftBootstrapReq {
    #[prost(string, tag = "1")]
    pub msg_id: String,
    #[prost(uint64, tag = "3")]
    pub number_of_nodes: u64,
}
#[derive(Clone, PartialEq, Message)]
pub struct RaftBootstrapOkRes {
    #[prost(string, tag = "1")]
    pub msg_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct RaftAppendEntriesReq {
    #[prost(string, tag = "1")]
    pub msg_id: String,
    #[prost(string, tag = "2")]
    pub req: String,
}
#[derive(Clone, PartialEq, Message)]
pub struct ConflictOpt {
    #[prost(uint64, tag = "1")]
    pub term: u64,
    #[prost(uint64, tag = "2")]
    pub index: u64,
}
#[derive(Clone, PartialEq, Message)]
pub struct RaftAppendEntriesOkRes {
    #[prost(string, tag = "1")]
    pub msg_id: String,
    #[prost(uint64, tag = "2")]
    pub term: u64,
    #[prost(bool, tag = "3")]
    pub success: bool,
    #[prost(message, optional, tag = "4")]
    pub conflict_opt: Option<ConflictOpt>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RaftInstallSnapshotReq {
    #[prost(string, tag = "1")]
    pub msg_id: String,
    #[prost(uint64, tag = "2")]
    pub term: u64,
    #[prost(uint64, tag = "3")]
    pub leader_id: u64,
    #[prost(uint64, tag = "4")]
    pub last_included_index: u64,
    #[prost(uint64, tag = "5")]
    pub last_included_term: u64,
    #[prost(uint64, tag = "6")]
    pub offset: u64,
    #[prost(bool, tag = "7")]
    pub done: bool,
    #[prost(bytes = "vec", tag = "8")]
    pub data: Vec<u8>,
}
#[derive(Clone, PartialEq, Message)]
pub struct RaftInstallSnapshotOkRes {
    #[prost(string, tag = "1")]
    pub msg_id: String,
    #[prost(uint64, tag = "2")]
    pub term: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct RaftVoteReq {
    #[prost(string, tag = "1")]
    pub msg_id: String,
    #[prost(uint64, tag = "2")]
    pub term: u64,
    #[prost(uint64, tag = "3")]
    pub candidate_id: u64,
    #[prost(uint64, tag = "4")]
    pub last_log_index: u64,
    #[prost(uint64, tag = "5")]
    pub last_log_term: u64,
}
#[derive(Clone, PartialEq, Message)]
pub struct RaftVoteOkRes {
    #[prost(string, tag = "1")]
    pub msg_id: String,
    #[prost(uint64, tag = "2")]
    pub term: u64,
    #[prost(bool, tag = "3")]
    pub vote_granted: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct RaftGetMetricsReq {
    #[prost(string, tag = "1")]
    pub msg_id: String,
}
#[derive(Clone, PartialEq, Message)]
pub struct RaftGetMetricsOkRes {
    #[prost(string, tag = "1")]
    pub msg_id: String,
    #[prost(string, tag = "2")]
    pub metrics: String,
}

/// An answer: the oneof of `ok_res = 1` and `error_res = 2`, which on the wire is one of two optional fields.
macro_rules! answer {
    ($answer:ident, $ok:ident) => {
        #[derive(Clone, PartialEq, Message)]
        pub struct $answer {
            #[prost(message, optional, tag = "1")]
            pub ok_res: Option<$ok>,
            #[prost(message, optional, tag = "2")]
            pub error_res: Option<RaftErrorRes>,
        }
        impl From<Result<$ok, RaftErrorRes>> for $answer {
            fn from(outcome: Result<$ok, RaftErrorRes>) -> Self {
                match outcome {
                    Ok(ok) => Self { ok_res: Some(ok), error_res: None },
                    Err(error) => Self { ok_res: None, error_res: Some(error) },
                }
            }
        }
        impl $answer {
            pub fn outcome(self) -> anyhow::Result<$ok> {
                let error = self.error_res.unwrap_or_default();
                self.ok_res.ok_or_else(|| anyhow::anyhow!("{}: {}", error.code, error.msg))
            }
        }
    };
}

answer!(RaftBootstrapRes, RaftBootstrapOkRes);
answer!(RaftAppendEntriesRes, RaftAppendEntriesOkRes);
answer!(RaftInstallSnapshotRes, RaftInstallSnapshotOkRes);
answer!(RaftVoteRes, RaftVoteOkRes);
answer!(RaftGetMetricsRes, RaftGetMetricsOkRes);
