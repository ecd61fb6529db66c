use tonic_build::manual::{Builder, Method, Service};

/// The seed's service, without protoc: the messages are written by hand in messages.rs.
fn main() {
    let methods = ["Bootstrap", "AppendEntries", "InstallSnapshot", "Vote", "GetMetrics"];
    let names = ["bootstrap", "append_entries", "install_snapshot", "vote", "get_metrics"];
    let mut service = Service::builder().name("Raft").package("wolf.raft");
    for (route, name) in methods.iter().zip(names) {
        service = service.method(
            Method::builder()
                .name(name)
                .route_name(*route)
                .input_type(format!("crate::messages::Raft{route}Req"))
                .output_type(format!("crate::messages::Raft{route}Res"))
                .codec_path("tonic::codec::ProstCodec")
                .build(),
        );
    }
    Builder::new().compile(&[service.build()]);
}
