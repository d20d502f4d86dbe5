//! Text with variables, and regular expressions.

use std::net::IpAddr;

use platform::{LimitKey, Network, Part, Pattern, Template, Variable};

use super::tree::Directive;
use super::{NginxError, Reader};

impl Reader<'_> {
    /// `$name`, `${name}` and `$1` in a text. A variable that the rules cannot know is listed with its directive.
    pub(super) fn template(&mut self, directive: &Directive, text: &str) -> Result<Template, NginxError> {
        let template = self.quiet_template(directive, text)?;
        if template.variables().any(|variable| matches!(variable, Variable::Unknown(_))) {
            self.leave(directive);
        }
        Ok(template)
    }

    /// The same where an unknown variable changes no answer.
    pub(super) fn quiet_template(&self, directive: &Directive, text: &str) -> Result<Template, NginxError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (name, end) = match after.strip_prefix('{') {
                Some(inner) => match inner.find('}') {
                    Some(end) => (&inner[..end], end + 2),
                    None => return Err(self.refused(directive, "a `${` is not closed", "close it: ${name}")),
                },
                // A group is one digit.
                None if after.starts_with(|c: char| c.is_ascii_digit()) => (&after[..1], 1),
                None => {
                    let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                    (&after[..end], end)
                }
            };
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(self.refused(directive, "a `$` names no variable", "write $name or ${name}"));
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Variable(self.variable(name)));
            rest = &after[end..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template { text: text.to_owned(), parts })
    }

    fn variable(&self, name: &str) -> Variable {
        if let Some(map) = self.maps.iter().position(|map| map == name) {
            return Variable::Map(map as u16);
        }
        let dashed = |name: &str| name.to_ascii_lowercase().replace('_', "-");
        match name {
            "remote_addr" => Variable::RemoteAddr,
            "binary_remote_addr" => Variable::BinaryRemoteAddr,
            "realip_remote_addr" => Variable::PeerAddr,
            "host" => Variable::Host,
            "server_name" => Variable::ServerName,
            "server_port" => Variable::ServerPort,
            "scheme" => Variable::Scheme,
            "https" => Variable::Https,
            "request_method" => Variable::Method,
            "request_uri" => Variable::RequestUri,
            "uri" | "document_uri" => Variable::Uri,
            "args" | "query_string" => Variable::Args,
            "is_args" => Variable::IsArgs,
            "content_length" => Variable::ContentLength,
            "proxy_add_x_forwarded_for" => Variable::ForwardedFor,
            _ if self.named.iter().any(|named| named == name) => Variable::Named(name.to_owned()),
            _ => {
                if let Some(argument) = name.strip_prefix("arg_") {
                    Variable::Arg(argument.to_owned())
                } else if let Some(header) = name.strip_prefix("http_") {
                    Variable::Header(dashed(header))
                } else if let Some(cookie) = name.strip_prefix("cookie_") {
                    Variable::Cookie(cookie.to_owned())
                } else if let Ok(group) = name.parse::<u8>() {
                    Variable::Group(group)
                } else {
                    Variable::Unknown(name.to_owned())
                }
            }
        }
    }

    /// A regular expression; its named groups are variables from then on.
    pub(super) fn pattern(
        &mut self,
        directive: &Directive,
        text: &str,
        ignore_case: bool,
    ) -> Result<Pattern, NginxError> {
        let pattern = Pattern::new(text, ignore_case).map_err(|why| {
            let why = why.lines().next_back().unwrap_or_default().trim().to_owned();
            self.refused(directive, &format!("`{text}` is no regular expression: {why}"), "correct it")
        })?;
        self.named.extend(pattern.names().map(str::to_owned));
        Ok(pattern)
    }

    /// The key of a zone.
    pub(super) fn key(&mut self, directive: &Directive, text: &str) -> Result<LimitKey, NginxError> {
        let template = self.template(directive, text)?;
        let peer = |part: &Part| matches!(part, Part::Variable(Variable::RemoteAddr | Variable::BinaryRemoteAddr));
        Ok(match template.parts.as_slice() {
            [part] if peer(part) => LimitKey::Peer,
            _ => LimitKey::Value(template),
        })
    }

    /// `10.0.0.0/8`, `10.0.0.1` or `2001:db8::/32`.
    pub(super) fn network(&self, directive: &Directive, text: &str) -> Result<Network, NginxError> {
        network(text).ok_or_else(|| {
            self.refused(directive, &format!("`{text}` is no address or network"), "write e.g. 10.0.0.0/8 or 10.1.2.3")
        })
    }
}

pub(super) fn network(text: &str) -> Option<Network> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
            bits.parse().ok().filter(|bits| *bits <= most)?
        }
        // `10.0.0.0/255.0.0.0`
        Some(mask) => {
            let mask = mask.parse::<std::net::Ipv4Addr>().ok().filter(|_| address.is_ipv4())?.to_bits();
            (mask.leading_ones() + mask.trailing_zeros().min(32) >= 32).then_some(mask.leading_ones() as u8)?
        }
    };
    Some(Network { address, bits })
}
