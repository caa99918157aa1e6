//! The wire format (RFC 1350 §5, RFC 2347 to 2349, RFC 7440, RFC 2090).
//!
//! ```text
//! read (1), write (2)   opcode · file name · 0 · mode · 0 · { option · 0 · value · 0 }
//! data (3)              opcode · block · 0 to block-size bytes
//! acknowledgment (4)    opcode · block
//! error (5)             opcode · code · message · 0
//! options (6)           opcode · { option · 0 · value · 0 }
//! ```
//!
//! Opcodes, blocks and codes are numbers of two octets in network byte order.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use manycast_types::Malformed;

use crate::wire::{Reader, Writer};

/// The longest request that is read, in bytes. RFC 2347 allows 512; some clients send more options.
const MAX_REQUEST: usize = 1_500;

/// How much of the message in an error is kept, in bytes.
const MAX_ERROR_TEXT: usize = 256;

/// How many bytes stand before the payload of a data packet.
pub(super) const DATA_HEADER: usize = 4;

/// A packet, of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A request to read or to write a file.
    Request(FileRequest),
    /// A block of the file.
    Data {
        /// Its number on the wire.
        block: u16,
        /// What is in it. Less than the block size ends the file.
        payload: &'a [u8],
    },
    /// Blocks up to this one have come.
    Acknowledgment {
        /// The number on the wire.
        block: u16,
    },
    /// The transfer ends here.
    Error(Refusal),
    /// Which options the server has accepted.
    Options(Options),
}

/// A request to read or to write a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRequest {
    /// To write to the server, or to read from it.
    pub write: bool,
    /// The name of the file, as it was sent: any bytes but 0.
    pub name: Bytes,
    /// How the file is encoded on the wire.
    pub mode: Mode,
    /// The options that are asked for.
    pub options: Options,
}

impl FileRequest {
    /// The name as text, with a mark in place of what is no UTF-8.
    pub fn name_text(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// How a file is encoded on the wire (RFC 1350 §1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As it is.
    #[default]
    Octet,
    /// As text whose lines end in CR LF: see [`netascii`](super::netascii).
    Netascii,
    /// Something else; `mail` is obsolete.
    Other,
}

impl Mode {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Octet => "octet",
            Self::Netascii => "netascii",
            Self::Other => "mail",
        }
    }
}

/// What can be agreed on. What is `None` is not asked for, or not accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// RFC 2348: `blksize`, the bytes in a block, 8 to 65,464; 512 without it.
    pub block_size: Option<u16>,
    /// RFC 2349: `timeout`, the seconds before something is sent again, 1 to 255.
    pub timeout: Option<u8>,
    /// RFC 2349: `tsize`, the bytes in the file; 0 in a read request asks for it.
    pub transfer_size: Option<u64>,
    /// RFC 7440: `windowsize`, how many blocks are acknowledged together, 1 to 65,535.
    pub window: Option<u16>,
    /// RFC 2090: `multicast`.
    pub multicast: Option<Multicast>,
    /// Whether there were options that are not known here, or values that make no sense. Nothing of
    /// them is kept.
    pub foreign: bool,
}

/// The value of the option `multicast` (RFC 2090). In a request it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Multicast {
    /// The group and port that the data go to, where they are told.
    pub group: Option<SocketAddr>,
    /// Whether this client is the one that acknowledges.
    pub master: bool,
}

impl Options {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn emit(&self, writer: &mut Writer) {
        let mut option = |name: &str, value: fmt::Arguments<'_>| {
            let value = value.to_string();
            writer.bytes(name.as_bytes()).u8(0);
            writer.bytes(value.as_bytes()).u8(0);
        };
        if let Some(size) = self.block_size {
            option("blksize", format_args!("{size}"));
        }
        if let Some(seconds) = self.timeout {
            option("timeout", format_args!("{seconds}"));
        }
        if let Some(size) = self.transfer_size {
            option("tsize", format_args!("{size}"));
        }
        if let Some(window) = self.window {
            option("windowsize", format_args!("{window}"));
        }
        match self.multicast {
            Some(Multicast {
                group: Some(group),
                master,
            }) => option(
                "multicast",
                format_args!("{},{},{}", group.ip(), group.port(), u8::from(master)),
            ),
            // RFC 2090: a client that was told the group before need not be told again.
            Some(Multicast { master: true, .. }) => option("multicast", format_args!(",,1")),
            Some(Multicast { .. }) => option("multicast", format_args!("")),
            None => {}
        }
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut options = Self::default();
        while !reader.remaining().is_empty() {
            let name = string(reader)?;
            let value = std::str::from_utf8(string(reader)?).unwrap_or("?");
            // RFC 2347: the names are not sensitive to case.
            let known = match name.to_ascii_lowercase().as_slice() {
                b"blksize" => number(value, 8, 65_464, &mut options.block_size),
                b"timeout" => number(value, 1, 255, &mut options.timeout),
                b"tsize" => number(value, 0, u64::MAX, &mut options.transfer_size),
                b"windowsize" => number(value, 1, 65_535, &mut options.window),
                b"multicast" => {
                    options.multicast = Multicast::parse(value);
                    options.multicast.is_some()
                }
                _ => false,
            };
            options.foreign |= !known;
        }
        Ok(options)
    }
}

impl Multicast {
    fn parse(value: &str) -> Option<Self> {
        if value.is_empty() {
            return Some(Self::default());
        }
        let mut parts = value.split(',').map(str::trim);
        let (address, port, master) = (parts.next()?, parts.next()?, parts.next()?);
        let group = match (address, port) {
            ("", _) => None,
            (address, port) => {
                let address: IpAddr = address.parse().ok().filter(IpAddr::is_multicast)?;
                Some(SocketAddr::new(
                    address,
                    port.parse().ok().filter(|port| *port > 0)?,
                ))
            }
        };
        Some(Self {
            group,
            master: match master {
                "1" => true,
                "0" => false,
                _ => return None,
            },
        })
    }
}

/// Reads a number within a range; a value that is none of these leaves the option out.
fn number<T: TryFrom<u64>>(value: &str, least: u64, most: u64, into: &mut Option<T>) -> bool {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|_| digits);
    let number = number.filter(|number| (least..=most).contains(number));
    *into = number.and_then(|number| T::try_from(number).ok());
    into.is_some()
}

/// The code of an error (RFC 1350 §5, RFC 2347).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 0: see the message.
    NotDefined,
    /// 1: there is no such file.
    FileNotFound,
    /// 2: it may not be read or written.
    AccessViolation,
    /// 3: the disk is full, or the file is larger than is allowed.
    DiskFull,
    /// 4: the packet makes no sense.
    IllegalOperation,
    /// 5: the packet belongs to no transfer here.
    UnknownTransfer,
    /// 6: the file is there already.
    FileExists,
    /// 7: there is no such user.
    NoSuchUser,
    /// 8: the options are not accepted.
    OptionNegotiation,
    /// Another.
    Other(u16),
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::NotDefined => 0,
            Self::FileNotFound => 1,
            Self::AccessViolation => 2,
            Self::DiskFull => 3,
            Self::IllegalOperation => 4,
            Self::UnknownTransfer => 5,
            Self::FileExists => 6,
            Self::NoSuchUser => 7,
            Self::OptionNegotiation => 8,
            Self::Other(number) => number,
        }
    }

    const fn from_number(number: u16) -> Self {
        match number {
            0 => Self::NotDefined,
            1 => Self::FileNotFound,
            2 => Self::AccessViolation,
            3 => Self::DiskFull,
            4 => Self::IllegalOperation,
            5 => Self::UnknownTransfer,
            6 => Self::FileExists,
            7 => Self::NoSuchUser,
            8 => Self::OptionNegotiation,
            other => Self::Other(other),
        }
    }
}

/// An error as it is told to the peer: why a transfer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ErrorCode,
    /// The sentence for people, without control characters.
    pub message: String,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Refusal {
    /// As in "file not found (error 1)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match self.message.as_str() {
            "" => "no reason is given",
            message => message,
        };
        write!(f, "{message} (error {})", self.code.number())
    }
}

impl<'a> Message<'a> {
    /// Understands a packet.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(datagram);
        match reader.u16()? {
            opcode @ (1 | 2) => {
                if datagram.len() > MAX_REQUEST {
                    return Err(Malformed::new("the request is too long", MAX_REQUEST));
                }
                let name = string(&mut reader)?;
                let mode = match string(&mut reader)?.to_ascii_lowercase().as_slice() {
                    b"octet" | b"binary" => Mode::Octet,
                    b"netascii" | b"ascii" => Mode::Netascii,
                    _ => Mode::Other,
                };
                Ok(Self::Request(FileRequest {
                    write: opcode == 2,
                    name: Bytes::copy_from_slice(name),
                    mode,
                    // What is wrong with the options must not keep anybody from the file.
                    options: Options::parse(&mut reader).unwrap_or_else(|_| Options {
                        foreign: true,
                        ..Options::default()
                    }),
                }))
            }
            3 => Ok(Self::Data {
                block: reader.u16()?,
                payload: reader.rest(),
            }),
            4 => Ok(Self::Acknowledgment {
                block: reader.u16()?,
            }),
            5 => {
                let code = ErrorCode::from_number(reader.u16()?);
                // Some send no 0 after the message, and some no message.
                let text = reader.rest().split(|byte| *byte == 0).next();
                let text = text.unwrap_or_default();
                let text = String::from_utf8_lossy(&text[..text.len().min(MAX_ERROR_TEXT)]);
                let message = text.chars().filter(|char| !char.is_control()).collect();
                Ok(Self::Error(Refusal { code, message }))
            }
            6 => Ok(Self::Options(Options::parse(&mut reader)?)),
            _ => Err(Malformed::new("there is no such opcode", 0)),
        }
    }

    /// The packet as a datagram.
    pub fn emit(&self) -> Bytes {
        let mut writer = Writer::with_capacity(64);
        match self {
            Self::Request(request) => {
                writer.u16(if request.write { 2 } else { 1 });
                writer.bytes(&request.name).u8(0);
                writer.bytes(request.mode.name().as_bytes()).u8(0);
                request.options.emit(&mut writer);
            }
            Self::Data { block, payload } => {
                writer.u16(3).u16(*block).bytes(payload);
            }
            Self::Acknowledgment { block } => {
                writer.u16(4).u16(*block);
            }
            Self::Error(refusal) => {
                writer.u16(5).u16(refusal.code.number());
                let text = refusal.message.replace('\0', " ");
                let mut end = text.len().min(MAX_ERROR_TEXT);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                writer.bytes(&text.as_bytes()[..end]).u8(0);
            }
            Self::Options(options) => {
                writer.u16(6);
                options.emit(&mut writer);
            }
        }
        writer.finish()
    }
}

/// Reads bytes up to a 0, which is consumed.
fn string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let remaining = reader.remaining();
    let Some(end) = remaining.iter().position(|byte| *byte == 0) else {
        let at = reader.offset() + remaining.len();
        return Err(Malformed::new("a string does not end", at));
    };
    let text = reader.bytes(end)?;
    reader.u8()?;
    Ok(text)
}
