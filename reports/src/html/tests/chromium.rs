//! A headless Chromium, driven over the `DevTools` protocol by two pipes: no port, no socket, no library.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) width: u32,
    pub(super) dark: bool,
    pub(super) scripts: bool,
}

impl View {
    pub(super) const WIDE: Self = Self { width: 1440, dark: false, scripts: true };
    pub(super) const PHONE: Self = Self { width: 390, ..Self::WIDE };
}

/// A browser with one page.
pub(super) struct Chromium {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    events: Vec<Value>,
    session: String,
    asked: u64,
    _profile: TempDir,
}

impl Chromium {
    pub(super) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // Chromium reads commands from file 3 and answers on file 4; a shell puts our two pipes there.
        let line = "exec chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run \
                    --disable-background-networking --disable-component-update --remote-debugging-pipe \
                    --user-data-dir=\"$0\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", line])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (send, receive) = channel();
        std::thread::spawn(move || {
            let messages = BufReader::new(from).split(0).map_while(Result::ok);
            messages
                .map_while(|message| serde_json::from_slice(&message).ok())
                .all(|message: Value| send.send(message).is_ok());
        });
        let mut browser =
            Self { child, to, from: receive, events: vec![], session: String::new(), asked: 0, _profile: profile };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].as_str().unwrap().into();
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Asks, and waits for the answer. What happens meanwhile is kept in [`Self::events`].
    pub(super) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.next(method);
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn next(&self, awaited: &str) -> Value {
        self.from.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("chromium said nothing to {awaited}: {error}"))
    }

    /// Opens a page and waits until it is loaded. Gives what it had to ask of others, and what it complained about.
    pub(super) fn open(&mut self, url: &str, view: View) -> (Vec<String>, Vec<String>) {
        let (width, mobile) = (view.width, view.width < 600);
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": mobile});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if view.dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &media);
        self.call("Emulation.setScriptExecutionDisabled", &json!({"value": !view.scripts}));
        self.events.clear();
        self.call("Page.navigate", &json!({"url": url}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next("Page.navigate");
            self.events.push(event);
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let requests = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let others = requests.map(|event| text(&event["params"]["request"]["url"]));
        let others = others.filter(|asked| asked != url && !asked.starts_with("data:")).collect();
        let complaints = self.events.iter().filter(|event| {
            let method = event["method"].as_str().unwrap_or_default();
            matches!(
                method,
                "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded" | "Audits.issueAdded"
            )
        });
        (others, complaints.map(|event| event["params"].to_string()).collect())
    }

    /// The value of a script's expression; a promise is awaited.
    pub(super) fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// A key, pressed and released, wherever the focus is.
    pub(super) fn press(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            let params = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", &params);
        }
    }

    /// Drags with the mouse from one place to another.
    pub(super) fn drag(&mut self, from: (f64, f64), to: (f64, f64)) {
        for (kind, (x, y), buttons) in [("mousePressed", from, 1), ("mouseMoved", to, 1), ("mouseReleased", to, 0)] {
            let params = json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &params);
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.child.kill().ok(); // ours, by its handle; the browser's own children end with it
        self.child.wait().ok();
    }
}
