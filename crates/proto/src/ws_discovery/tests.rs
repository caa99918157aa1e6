mod matching;
mod message;
mod roles;
