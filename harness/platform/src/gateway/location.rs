//! Locations: which paths they take, what is in force there, what answers.

use units::{Bytes, Nanos};

use super::{ConnUse, LimitUse, Network, Pattern, Template, UpstreamId};
use crate::Place;

/// `location … { … }` with everything it inherits resolved. [`Location::default`] has nginx's defaults.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of nginx's own")]
pub struct Location {
    /// Which paths it takes.
    pub matches: LocationMatch,
    /// The location around it, by its index in the same server.
    pub parent: Option<u16>,
    /// `limit_req` in force. Never consulted where the action is a return: the rewrite phase comes first.
    pub limits: Vec<LimitUse>,
    /// `limit_req_status`, nginx's default is 503.
    pub limit_status: u16,
    /// `limit_req_dry_run`: limits count, and all pass.
    pub limit_dry_run: bool,
    /// `limit_conn` in force.
    pub conn_limits: Vec<ConnUse>,
    /// `limit_conn_status`, nginx's default is 503.
    pub conn_status: u16,
    /// `limit_conn_dry_run`.
    pub conn_dry_run: bool,
    /// `allow` and `deny` in order; the first that fits decides, and none means let in.
    pub access: Vec<AccessRule>,
    /// `internal`: only what nginx redirects itself comes here, all else is 404.
    pub internal: bool,
    /// The rewrite phase: `if`, `rewrite`, `set`, `break`, `return`. A plain `return` is [`Action::Return`] instead.
    pub rewrites: Vec<RewriteStep>,
    /// What answers.
    pub action: Action,
    /// `proxy_connect_timeout`, default 60 s.
    pub connect_timeout: Nanos,
    /// `proxy_read_timeout`, default 60 s.
    pub read_timeout: Nanos,
    /// `proxy_send_timeout`, default 60 s.
    pub send_timeout: Nanos,
    /// `proxy_next_upstream…`: when another server is tried.
    pub next_upstream: NextUpstream,
    /// `proxy_buffering`, default on.
    pub buffering: bool,
    /// `proxy_request_buffering`, default on. Off: a body that was sent cannot be sent again.
    pub request_buffering: bool,
    /// `proxy_http_version` is 1.1 or later; nginx below 1.29.7 says 1.0 by default.
    pub http11: bool,
    /// `proxy_set_header` in force, in order.
    pub set_headers: Vec<(String, Template)>,
    /// `proxy_intercept_errors`: what an upstream answers from 300 on goes through `error_page`.
    pub intercept_errors: bool,
    /// `error_page` in force.
    pub error_pages: Vec<ErrorPage>,
    /// `client_max_body_size`, default 1 MiB; 0 means no limit.
    pub max_body: Bytes,
    /// `add_header … always` in force: names and values.
    pub headers: Vec<(String, String)>,
    /// `add_header` without `always`: only with 200, 201, 204, 206, 301 to 304, 307 and 308.
    pub conditional_headers: Vec<(String, String)>,
    /// `gzip` is on.
    pub gzip: bool,
    /// Where it was declared.
    pub place: Place,
}

impl Location {
    /// What `add_header` adds to an answer of `status` (`ngx_http_headers_filter`).
    pub fn added_headers(&self, status: u16) -> impl Iterator<Item = &(String, String)> {
        let plain = matches!(status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308);
        self.headers.iter().chain(self.conditional_headers.iter().filter(move |_| plain))
    }
}

impl Default for Location {
    fn default() -> Self {
        Self {
            matches: LocationMatch::Prefix("/".to_owned()),
            parent: None,
            limits: Vec::new(),
            limit_status: 503,
            limit_dry_run: false,
            conn_limits: Vec::new(),
            conn_status: 503,
            conn_dry_run: false,
            access: Vec::new(),
            internal: false,
            rewrites: Vec::new(),
            action: Action::Content { by: "root".to_owned() },
            connect_timeout: Nanos::from_secs(60),
            read_timeout: Nanos::from_secs(60),
            send_timeout: Nanos::from_secs(60),
            next_upstream: NextUpstream::default(),
            buffering: true,
            request_buffering: true,
            http11: false,
            set_headers: Vec::new(),
            intercept_errors: false,
            error_pages: Vec::new(),
            max_body: Bytes::from_mebi(1),
            headers: Vec::new(),
            conditional_headers: Vec::new(),
            gzip: false,
            place: Place::default(),
        }
    }
}

/// Which paths a location takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocationMatch {
    /// `= /path`.
    Exact(String),
    /// `/path`; the longest prefix wins, unless a regular expression takes the path.
    Prefix(String),
    /// `^~ /path`: where it is the longest prefix, no regular expression is asked.
    PrefixFirst(String),
    /// `~` or `~*`; the first in the file wins.
    Regex(Pattern),
    /// `@name`: only internal redirects reach it.
    Named(String),
}

impl LocationMatch {
    /// The path that it is compared with; `None` for regular expressions and names.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Exact(path) | Self::Prefix(path) | Self::PrefixFirst(path) => Some(path),
            Self::Regex(_) | Self::Named(_) => None,
        }
    }
}

/// As it is written in the file.
impl std::fmt::Display for LocationMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "= {path}"),
            Self::Prefix(path) => f.write_str(path),
            Self::PrefixFirst(path) => write!(f, "^~ {path}"),
            Self::Regex(pattern) if pattern.ignores_case() => write!(f, "~* {}", pattern.text()),
            Self::Regex(pattern) => write!(f, "~ {}", pattern.text()),
            Self::Named(name) => write!(f, "@{name}"),
        }
    }
}

/// What answers at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `return STATUS "body"`.
    Return {
        /// Status code.
        status: u16,
        /// Body text, or where it redirects to; variables as written.
        body: String,
    },
    /// `proxy_pass http://UPSTREAM[URI]`.
    Proxy {
        /// Which upstream.
        upstream: UpstreamId,
        /// Replaces the matched prefix, where `proxy_pass` has a URI.
        uri: Option<String>,
    },
    /// `stub_status`.
    StubStatus,
    /// Something that is not played: files, `FastCGI` and the like. Assumed to answer 200.
    Content {
        /// The directive that says so.
        by: String,
    },
}

/// `allow` or `deny`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// `allow`.
    pub allow: bool,
    /// Which addresses; `None`: all.
    pub network: Option<Network>,
}

/// When a request goes to another server of the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of nginx's own")]
pub struct NextUpstream {
    /// No connection, or it broke. Default on.
    pub error: bool,
    /// A timeout. Default on.
    pub timeout: bool,
    /// An answer that is no HTTP.
    pub invalid_header: bool,
    /// The statuses among 403, 404, 429, 500, 502, 503, 504 that count.
    pub statuses: Vec<u16>,
    /// `POST`, `LOCK` and `PATCH` are sent again, too.
    pub non_idempotent: bool,
    /// `proxy_next_upstream_tries`; 0: as many as there are servers.
    pub tries: u32,
    /// `proxy_next_upstream_timeout`; 0: no bound.
    pub within: Nanos,
}

impl Default for NextUpstream {
    fn default() -> Self {
        Self {
            error: true,
            timeout: true,
            invalid_header: false,
            statuses: Vec::new(),
            non_idempotent: false,
            tries: 0,
            within: Nanos::ZERO,
        }
    }
}

/// `error_page CODE… [=[STATUS]] URI`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// Which statuses.
    pub codes: Vec<u16>,
    /// `=STATUS`; `Some(0)` for a lone `=`: whatever the page answers. `None`: the status stays.
    pub status: Option<u16>,
    /// A path, `@name`, or a URL to redirect to.
    pub uri: String,
}

/// One step of the rewrite phase (`ngx_http_rewrite_module`).
#[derive(Clone, Debug, PartialEq)]
pub enum RewriteStep {
    /// `set $name value`.
    Set {
        /// Without `$`.
        variable: String,
        /// What it becomes.
        value: Template,
    },
    /// `return STATUS [text]`.
    Return {
        /// Status code.
        status: u16,
        /// Body, or where to redirect.
        text: Template,
    },
    /// `rewrite PATTERN REPLACEMENT [flag]`.
    Rewrite {
        /// Compared with the decoded path.
        pattern: Pattern,
        /// What the path becomes.
        replacement: Template,
        /// What happens then.
        then: RewriteFlag,
    },
    /// `if (…) { … }`.
    If {
        /// When.
        condition: Condition,
        /// What.
        then: Vec<RewriteStep>,
    },
    /// `break`.
    Break,
}

/// The flag of a `rewrite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewriteFlag {
    /// None: the next step sees the new path, and a location is looked for when all are done.
    Next,
    /// `last`: a location is looked for.
    Last,
    /// `break`: the location stays.
    Break,
    /// `redirect`: 302, or a replacement that begins with a scheme.
    Redirect,
    /// `permanent`: 301.
    Permanent,
}

/// What an `if` asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `$a`: neither empty nor `0`.
    True(Template),
    /// `$a = b`, or `!=` if `not`.
    Equals {
        /// Left.
        left: Template,
        /// Right.
        right: Template,
        /// `!=`.
        not: bool,
    },
    /// `$a ~ b`, `~*`, `!~`, `!~*`.
    Matches {
        /// What is looked at.
        subject: Template,
        /// With what.
        pattern: Pattern,
        /// `!~`.
        not: bool,
    },
    /// `-f`, `-d`, `-e`, `-x`: no file is known, so what asks for one is false, and with `!` true.
    File {
        /// `!-f`.
        not: bool,
    },
}
