#pragma once
#include <expected>
#include <string>
#include <utility>

namespace wattd {

/// What the caller has to do about an error, which is all that its kind says.
enum class ErrorKind {
  retry,        ///< Nothing was lost; the same call may succeed later.
  permanent,    ///< This input will never be taken; set it aside and go on.
  unsupported,  ///< The far side does not know what was asked of it.
  corrupt,      ///< Stored or received bytes are not what they claim to be.
};

/// A failure after start-up: its consequence, and a sentence for a person.
struct Error {
  ErrorKind kind;
  std::string message;
};

template <class T>
using Result = std::expected<T, Error>;

/// Shorthand for the failing branch of a Result.
inline std::unexpected<Error> fail(ErrorKind kind, std::string message) {
  return std::unexpected(Error{kind, std::move(message)});
}

}  // namespace wattd
