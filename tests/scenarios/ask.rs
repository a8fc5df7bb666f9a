//! Questions out of text, replies into text.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tsig::{Key, Signed, Tsig, TsigError};
use wire::edns::{Edns, Options};
use wire::{Class, Message, Name, NameBuf, Opcode, Rcode, Rtype, Section, Transport};

/// A question as written: `www.example.org. A +do +tcp +from=10.0.0.1`.
pub(crate) struct Question {
    pub(crate) message: Vec<u8>,
    pub(crate) peer: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) port: u16,
    pub(crate) ordered: bool,
    /// How often it is asked, one after the other.
    pub(crate) times: usize,
    /// How often at once.
    pub(crate) together: usize,
    /// How long the answer may take.
    pub(crate) within: Option<Duration>,
    /// Its signature, which the reply's must follow.
    signed: Option<Signed>,
}

/// Understands a question.
pub(crate) fn question(text: &str, id: u16) -> Result<Question, String> {
    let text = text.split(" ;").next().unwrap_or(text);
    let mut words = text.split_whitespace();
    let name = words.next().ok_or("a question needs a name")?;
    let qtype = words.next().ok_or("a question needs a type")?;
    let name = Name::from_text(name).map_err(|problem| format!("{name}: {problem}"))?;
    let qtype = Rtype::from_text(qtype).ok_or_else(|| format!("{qtype} is not a type"))?;
    let (mut class, mut opcode, mut flags) = (Class::IN, Opcode::QUERY, 0x0100u16);
    let mut edns = Some((1232u16, false, 0u8));
    let mut options: Vec<u8> = Vec::new();
    let mut serial = None;
    let mut asked = Question {
        message: Vec::new(),
        peer: SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 40_212),
        transport: Transport::Udp,
        port: 53,
        ordered: false,
        times: 1,
        together: 1,
        within: None,
        signed: None,
    };
    let (mut signing, mut skew) = (None, 0);
    for word in words {
        let word =
            word.strip_prefix('+').ok_or_else(|| format!("`{word}`: options start with +"))?;
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let bad = || format!("`+{word}` cannot be read");
        match key {
            "do" => edns = edns.or(Some((1232, false, 0))).map(|(size, _, v)| (size, true, v)),
            "tcp" => asked.transport = Transport::Tcp,
            "tls" => asked.transport = Transport::Tls,
            "cd" => flags |= 0x0010,
            "ad" => flags |= 0x0020,
            "nord" => flags &= !0x0100,
            "noedns" => edns = None,
            "bufsize" => {
                let size = value.parse().map_err(|_| bad())?;
                edns = edns.or(Some((0, false, 0))).map(|(_, dnssec, v)| (size, dnssec, v));
            }
            "edns" => {
                let version = value.parse().map_err(|_| bad())?;
                edns = edns.map(|(size, dnssec, _)| (size, dnssec, version));
            }
            "nsid" => options.extend_from_slice(&[0, 3, 0, 0]),
            "option" => {
                let (code, hex) = value.split_once(':').unwrap_or((value, ""));
                let data = unhex(hex).ok_or_else(bad)?;
                options.extend_from_slice(&code.parse::<u16>().map_err(|_| bad())?.to_be_bytes());
                options.extend_from_slice(&(data.len() as u16).to_be_bytes());
                options.extend_from_slice(&data);
            }
            "class" => class = Class::from_text(value).ok_or_else(bad)?,
            "opcode" => opcode = Opcode::from_text(value).ok_or_else(bad)?,
            "serial" => serial = Some(value.parse::<u32>().map_err(|_| bad())?),
            "from" => asked.peer.set_ip(value.parse().map_err(|_| bad())?),
            "port" => asked.port = value.parse().map_err(|_| bad())?,
            "ordered" => asked.ordered = true,
            "times" => asked.times = value.parse().map_err(|_| bad())?,
            "together" => asked.together = value.parse().map_err(|_| bad())?,
            "within" => asked.within = Some(duration(value)?),
            "tsig" => {
                let read = Key::from_text(value).map_err(|problem| problem.to_string())?;
                signing = Some(Arc::new(read));
            }
            "tsig-skew" => skew = value.parse::<i64>().map_err(|_| bad())?,
            _ => return Err(format!("unknown option `+{word}`")),
        }
    }
    flags |= u16::from(opcode.0) << 11;
    let message = &mut asked.message;
    for word in [id, flags, 1, 0, u16::from(serial.is_some()), u16::from(edns.is_some())] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.extend_from_slice(name.as_wire());
    message.extend_from_slice(&qtype.0.to_be_bytes());
    message.extend_from_slice(&class.0.to_be_bytes());
    if let Some(serial) = serial {
        // The SOA record of the client's version (RFC 1995 section 3).
        message.extend_from_slice(&[0xC0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        message.extend_from_slice(&serial.to_be_bytes());
        message.extend_from_slice(&[0; 16]);
    }
    if let Some((size, dnssec, version)) = edns {
        message.extend_from_slice(&[0, 0, 41]);
        message.extend_from_slice(&size.to_be_bytes());
        message.extend_from_slice(&[0, version, if dnssec { 0x80 } else { 0 }, 0]);
        message.extend_from_slice(&(options.len() as u16).to_be_bytes());
        message.extend_from_slice(&options);
    }
    if let Some(key) = signing {
        asked.signed = Some(tsig::sign(message, &key, unix_now().saturating_add_signed(skew)));
    }
    Ok(asked)
}

/// The time of signatures, as the server has it.
fn unix_now() -> u64 {
    net::clock::unix(net::clock::now())
}

/// The signature of the reply in one word.
fn signature(question: &Question, bytes: &[u8]) -> &'static str {
    let Ok(found) = Tsig::find(bytes) else { return "malformed" };
    let Some(record) = found else { return "none" };
    let Some(signed) = &question.signed else { return "unasked" };
    match (signed.verify(bytes, unix_now()), record.error) {
        (Ok(()), _) => "good",
        (
            Err(tsig::VerifyError::Refused { signed, .. }),
            TsigError::BADTIME | TsigError::BADTRUNC,
        ) if !signed => "unsigned",
        (Err(tsig::VerifyError::Refused { .. }), TsigError::BADKEY) => "badkey",
        (Err(tsig::VerifyError::Refused { .. }), TsigError::BADSIG) => "badsig",
        (Err(tsig::VerifyError::Refused { .. }), TsigError::BADTIME) => "badtime",
        (Err(tsig::VerifyError::Refused { .. }), TsigError::BADTRUNC) => "badtrunc",
        _ => "wrong",
    }
}

/// Understands `100ms`, `2s`, `5m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let number: f64 = text[..split].parse().map_err(|_| format!("`{text}` is not a duration"))?;
    let unit = match &text[split..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{text}` is not a duration")),
    };
    Ok(Duration::from_secs_f64(number * unit))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// A reply as text.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) rcode: String,
    /// Flags that are set, extended errors as `ede=N`.
    pub(crate) flags: Vec<String>,
    /// Records of the three sections, in order.
    pub(crate) sections: [Vec<String>; 3],
    /// Options as `nsid=HEX`, `OPTIONn=HEX`.
    pub(crate) options: Vec<String>,
}

/// Reads a reply.
pub(crate) fn show(question: &Question, bytes: &[u8]) -> Result<Shown, String> {
    let message = Message::new(bytes).map_err(|_| "the reply is malformed".to_owned())?;
    let asked = Message::new(&question.message).map_err(|_| "the question is malformed")?;
    if message.id() != asked.id() {
        return Err("the reply has another id".to_owned());
    }
    let flags = message.flags();
    let mut shown = Shown {
        rcode: String::new(),
        flags: [("qr", 15), ("aa", 10), ("tc", 9), ("rd", 8), ("ra", 7), ("ad", 5), ("cd", 4)]
            .into_iter()
            .filter(|(_, bit)| flags >> bit & 1 == 1)
            .map(|(name, _)| name.to_owned())
            .collect(),
        sections: Default::default(),
        options: Vec::new(),
    };
    let mut rcode = flags & 15;
    for record in message.records() {
        let record = record.map_err(|_| "the reply is malformed".to_owned())?;
        if record.rtype == Rtype::OPT {
            let edns = Edns::read(&record).map_err(|_| "the reply's OPT is malformed")?;
            rcode |= u16::from(edns.extended_rcode) << 4;
            shown.flags.push("edns".to_owned());
            if edns.dnssec_ok {
                shown.flags.push("do".to_owned());
            }
            options(edns.options(bytes), &mut shown);
            continue;
        }
        if record.rtype == Rtype::TSIG {
            continue;
        }
        shown.sections[record.section as usize].push(line(&record)?);
    }
    let end = message.questions_end().map_err(|_| "the reply's question is malformed")?;
    if end > wire::HEADER && bytes[wire::HEADER..end] != question.message[wire::HEADER..end] {
        return Err("the reply has another question".to_owned());
    }
    shown.rcode = Rcode(rcode).to_string();
    match signature(question, bytes) {
        "none" if question.signed.is_none() => {}
        word => shown.flags.push(format!("tsig={word}")),
    }
    Ok(shown)
}

fn options(options: Options<'_>, shown: &mut Shown) {
    for option in options {
        let hex: String = option.data.iter().map(|byte| format!("{byte:02x}")).collect();
        match option.code {
            15 if option.data.len() >= 2 => {
                let code = u16::from_be_bytes([option.data[0], option.data[1]]);
                shown.flags.push(format!("ede={code}"));
            }
            3 => shown.options.push(format!("nsid={hex}")),
            code => shown.options.push(format!("OPTION{code}={hex}")),
        }
    }
}

fn line(record: &wire::Record<'_>) -> Result<String, String> {
    let malformed = |_| "a record of the reply is malformed".to_owned();
    let mut owner = NameBuf::new();
    record.owner(&mut owner).map_err(malformed)?;
    let mut rdata = Vec::new();
    wire::rdata::expand(record.rtype, record.message, record.rdata_at, record.end, &mut rdata)
        .map_err(malformed)?;
    Ok(present(&owner.to_name(), record.ttl, record.class, record.rtype, &rdata))
}

/// One record as a line; the owner in lower case, since case is no part of equality.
pub(crate) fn present(owner: &Name, ttl: u32, class: Class, rtype: Rtype, rdata: &[u8]) -> String {
    let text = zone::master::rdata_to_text(rtype, rdata);
    format!("{} {ttl} {class} {rtype} {text}", owner.to_lower())
}

/// An expected record, brought into the same form.
pub(crate) fn normal(text: &str) -> Result<String, String> {
    let record = zone::master::record_from_line(text.trim(), &Name::root(), 3600)
        .map_err(|problem| format!("`{text}`: {problem}"))?;
    Ok(present(&record.owner, record.ttl, record.class, record.rtype, &record.rdata))
}

/// The name of a section in expectations.
pub(crate) fn tag(section: Section) -> &'static str {
    ["an", "ns", "ar"][section as usize]
}
