mod message;
mod roles;
