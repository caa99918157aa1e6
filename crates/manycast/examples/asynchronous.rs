//! Receives on a Tokio runtime:
//! `cargo run --features tokio --example asynchronous 239.192.0.100:5000`

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("usage: asynchronous GROUP:PORT")?;
    let mut listener = manycast::tokio::listen(address).await?;
    loop {
        let datagram = listener.recv().await?;
        println!("{} bytes from {}", datagram.payload.len(), datagram.source);
    }
}
