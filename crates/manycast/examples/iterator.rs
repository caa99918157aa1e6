//! Receives as an iterator: `cargo run --example iterator 239.192.0.100:5000`

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("usage: iterator GROUP:PORT")?;
    for datagram in manycast::listen(address)? {
        let datagram = datagram?;
        println!("{} bytes from {}", datagram.payload.len(), datagram.source);
    }
    Ok(())
}
