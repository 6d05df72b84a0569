//! The routes.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use webhook_registry::{
    Catalog, ListQuery, NewSubscription, Page, Registry, Rotation, Subscription, SubscriptionUpdate,
};

use crate::glue::{Customer, Problem, call};

type Result<T> = std::result::Result<T, Problem>;

#[derive(Clone)]
pub struct App {
    pub registry: Registry,
    /// The customers, by their API keys.
    pub customers: Arc<HashMap<String, String>>,
}

pub fn router(app: App) -> Router {
    Router::new()
        .route("/subscriptions", post(create).get(list))
        .route("/subscriptions/{id}", get(read).patch(update).delete(delete))
        .route("/subscriptions/{id}/secret", post(rotate))
        .route("/event-types", get(event_types))
        .with_state(app)
}

async fn create(Customer(registry): Customer, body: Bytes) -> Result<impl IntoResponse> {
    let new = NewSubscription::from_json(&body)?;
    Ok((StatusCode::CREATED, Json(call(move || registry.create(new)).await?)))
}

async fn list(
    Customer(registry): Customer,
    query: std::result::Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Page>> {
    let Query(query) = query.map_err(|bad| Problem::new(bad.status(), &bad.body_text()))?;
    call(move || registry.list(query)).await.map(Json)
}

async fn read(Customer(registry): Customer, Path(id): Path<String>) -> Result<Json<Subscription>> {
    let id = id.parse()?;
    let found = call(move || registry.get(id)).await?;
    found.map(Json).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no such subscription"))
}

async fn update(
    Customer(registry): Customer,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Subscription>> {
    let (id, update) = (id.parse()?, SubscriptionUpdate::from_json(&body)?);
    call(move || registry.update(id, update)).await.map(Json)
}

async fn delete(Customer(registry): Customer, Path(id): Path<String>) -> Result<StatusCode> {
    let id = id.parse()?;
    call(move || registry.delete(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rotate(
    Customer(registry): Customer,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<impl IntoResponse> {
    let (id, rotation) = (id.parse()?, Rotation::from_json(&body)?);
    let secret = call(move || registry.rotate_secret(id, rotation)).await?;
    Ok(Json(json!({"secret": secret.expose()})))
}

async fn event_types(State(app): State<App>) -> Result<Json<Catalog>> {
    call(move || app.registry.event_types()).await.map(|all| Json(Catalog::from(all)))
}
