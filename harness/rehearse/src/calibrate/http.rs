//! The HTTP that calibration speaks: a Prometheus is asked, a live platform is tried. Nothing is ever written there.

use std::time::Duration;

use clock::Clock;
use reqwest::{Client, Method};
use serde_json::Value;
use units::Nanos;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer as it was seen from here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) took: Nanos,
}

fn client() -> Result<Client, String> {
    Client::builder().timeout(PATIENCE).build().map_err(|error| told(&error))
}

/// An instant query of Prometheus' HTTP API.
pub(super) fn query(url: &str, text: &str) -> Result<Value, String> {
    let at = format!("{}/api/v1/query", url.trim_end_matches('/'));
    let answer = block(async {
        let request = client()?.post(&at).form(&[("query", text)]);
        let answer = request.send().await.map_err(|error| told(&error))?;
        answer
            .json::<Value>()
            .await
            .map_err(|error| format!("{at} does not answer as a Prometheus does: {}", told(&error)))
    })??;
    if answer["status"] == "success" {
        return Ok(answer);
    }
    Err(format!("Prometheus refuses `{text}`: {}", answer["error"].as_str().unwrap_or("it does not say why")))
}

/// GETs, one after another, each with the host it is for, `pause` apart.
pub(super) fn gets(
    url: &str,
    asked: &[(&str, &str)],
    headers: &[String],
    pause: Nanos,
    mut answered: impl FnMut(usize, Answered),
) -> Result<(), String> {
    let headers: Result<Vec<(&str, &str)>, String> = headers
        .iter()
        .map(|header| header.split_once(':').ok_or_else(|| format!("--header {header}: write 'NAME: VALUE'")))
        .collect();
    let headers = headers?;
    block(async {
        let (client, clock) = (client()?, Clock::start());
        for (index, (host, path)) in asked.iter().enumerate() {
            let at = format!("{}{path}", url.trim_end_matches('/'));
            let began = clock.now();
            let mut request = client.request(Method::GET, &at).header(reqwest::header::HOST, *host);
            for (name, value) in &headers {
                request = request.header(name.trim(), value.trim());
            }
            let answer = request.send().await.map_err(|error| told(&error))?;
            let status = answer.status().as_u16();
            // The whole answer, as nginx's $request_time has it.
            answer.bytes().await.map_err(|error| told(&error))?;
            answered(index, Answered { status, took: clock.now() - began });
            clock.until(clock.now() + pause).await;
        }
        Ok(())
    })?
}

fn block<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(work))
}

/// An error with what it came of, without what was in the address.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
