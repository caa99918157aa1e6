mod envelope;
mod transmissions;
mod xml;
