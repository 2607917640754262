//! stub until the merge
use std::sync::Arc;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use storage::Db;
use tokio_util::sync::CancellationToken;
use crate::messages::{Board, Clock, ModuleInfo, Operator};
#[derive(Clone, Debug)]
pub struct NodeInfo { pub id: String, pub version: &'static str, pub started_at: chrono::DateTime<chrono::Utc> }
#[derive(Clone)]
pub struct HubDeps { pub config: Arc<crate::config::Config>, pub db: Db, pub directory: Arc<crate::cluster::Directory>, pub clock: Clock, pub board: Arc<Board>, pub metrics: PrometheusHandle, pub service_key: SecretString, pub modules: Arc<Vec<ModuleInfo>>, pub operator: Arc<dyn Operator>, pub node: NodeInfo, pub stop: CancellationToken }
pub async fn serve(deps: HubDeps, _l: tokio::net::TcpListener) -> std::io::Result<()> { deps.stop.cancelled().await; Ok(()) }
