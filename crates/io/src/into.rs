//! What may stand where an address or a group is wanted.

use manycast_types::{Address, AddressError, Group};

/// Whatever is an [`Address`] or can be read as one: a text, a host with a port, a
/// [`SocketAddr`](std::net::SocketAddr).
///
/// ```
/// use manycast::IntoAddress;
///
/// let text = "239.192.0.100:5000".into_address()?;
/// assert_eq!(("239.192.0.100", 5000).into_address()?, text);
/// # Ok::<(), manycast::AddressError>(())
/// ```
pub trait IntoAddress {
    /// The address.
    ///
    /// # Errors
    ///
    /// The text is none; the error says what is wrong with it, and where.
    fn into_address(self) -> Result<Address, AddressError>;
}

impl<T> IntoAddress for T
where
    T: TryInto<Address>,
    AddressError: From<T::Error>,
{
    fn into_address(self) -> Result<Address, AddressError> {
        Ok(self.try_into()?)
    }
}

/// Whatever is a [`Group`] or can be read as one: a text such as `239.1.1.1%eth0`, an
/// [`IpAddr`](std::net::IpAddr).
pub trait IntoGroup {
    /// The group.
    ///
    /// # Errors
    ///
    /// The text is none; the error says what is wrong with it, and where.
    fn into_group(self) -> Result<Group, AddressError>;
}

impl<T> IntoGroup for T
where
    T: TryInto<Group>,
    AddressError: From<T::Error>,
{
    fn into_group(self) -> Result<Group, AddressError> {
        Ok(self.try_into()?)
    }
}
