//! `/healthz`: the process answers. `/readyz`: it can do its work.

use actix_web::{HttpResponse, http::StatusCode, web};
use nipworker_core::{NodeStatus, State, TreeStatus};
use serde_json::json;

use super::{error::ApiError, state::Gateway};

pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "up" }))
}

pub(super) async fn readyz(gateway: web::Data<Gateway>) -> Result<HttpResponse, ApiError> {
    if *gateway.stopping.borrow() {
        return Err(not_ready("the gateway is stopping"));
    }
    let status = gateway.client.status();
    if status.store.is_none() {
        return Err(not_ready("the store cannot be read"));
    }
    let tree = status.supervisor;
    if tree.is_healthy() {
        return Ok(HttpResponse::Ok().json(json!({ "status": "ready" })));
    }
    let mut down = Vec::new();
    collect_down(&tree, &mut down);
    Err(not_ready(&down.join("; ")))
}

fn not_ready(reason: &str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", reason)
}

fn collect_down(tree: &TreeStatus, down: &mut Vec<String>) {
    let mut say = |name: &str, state: &dyn std::fmt::Display, failure: Option<&str>| {
        let why = failure.map_or_else(String::new, |failure| format!(" ({failure})"));
        down.push(format!("{name} is {state}{why}"));
    };
    if tree.state != State::Running {
        let failure = tree.last_failure.as_ref().map(|failure| failure.message.as_str());
        say(&tree.name, &tree.state, failure);
    }
    for child in &tree.children {
        match child {
            NodeStatus::Worker(worker) => {
                if worker.state != State::Running {
                    let failure =
                        worker.last_failure.as_ref().map(|failure| failure.message.as_str());
                    say(&worker.name, &worker.state, failure);
                }
            }
            NodeStatus::Supervisor(_) => {}
        }
    }
    for child in &tree.children {
        if let NodeStatus::Supervisor(inner) = child {
            collect_down(inner, down);
        }
    }
}
