#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace tandem {

/// Everything tandem throws for a fault; ask it, rather than its type, what to do next.
///
/// A fault is thrown, an outcome is returned: "somebody else holds it" is an empty optional, "the
/// socket broke" is an `Error`. A broken precondition (a bad URL, an empty name, a zero lease) is
/// no fault of the world and throws `std::invalid_argument` instead, before any I/O.
///
/// |               | in_doubt() | poisons_connection() | meaning                                        |
/// |---------------|------------|----------------------|------------------------------------------------|
/// | `Unreachable` | no         | yes                  | not executed: not sent, or not as a whole      |
/// | `InDoubt`     | yes        | yes                  | sent, not answered: it may have happened       |
/// | `ServerError` | no         | no                   | the server answered with an error              |
/// | `UnsafeServer` | no        | no                   | Options::strict does not accept this server    |
/// | `ShapeError`  | no         | no                   | the answer has another form than was asked for |
/// | `CodecError`  | no         | no                   | the bytes are no value of the wanted type      |
/// | `LockLost`    | no         | no                   | a hold ended before it was given back          |
/// | `Deadlock`    | no         | no                   | a wait for a lock would never end              |
/// | `Conflict`    | no         | no                   | others kept changing the keys until the deadline; nothing was applied |
/// | `QueueFull`   | no         | no                   | there was no room in a queue; nothing was put there |
///
/// Texts say what was done, on what, and what went wrong. They name keys, never values or
/// passwords.
class Error : public std::runtime_error {
 public:
  explicit Error(std::string const& text) : std::runtime_error{text} {}

  /// Whether the command may have been executed although no answer came. Repeat it only if it does
  /// no harm twice.
  [[nodiscard]] bool in_doubt() const noexcept { return in_doubt_; }

  /// Whether the `Connection` it came from is finished. A `Client` replaces its connections by
  /// itself.
  [[nodiscard]] bool poisons_connection() const noexcept { return poisons_connection_; }

 protected:
  Error(std::string const& text, bool in_doubt, bool poisons_connection)
      : std::runtime_error{text}, in_doubt_{in_doubt}, poisons_connection_{poisons_connection} {}

 private:
  bool in_doubt_ = false;
  bool poisons_connection_ = false;
};

/// The command was not executed: no connection could be had within the deadline, or it could not be
/// sent as a whole.
class Unreachable : public Error {
 public:
  explicit Unreachable(std::string const& text) : Error{text, false, true} {}
};

/// The command was sent and its answer did not arrive within the deadline.
class InDoubt : public Error {
 public:
  explicit InDoubt(std::string const& text) : Error{text, true, true} {}
};

/// The server answered with an error reply.
class ServerError : public Error {
 public:
  /// `reply` is the server's text, for example "WRONGTYPE Operation against a key holding ...".
  /// `doing` says what was asked, for example "HSET on stock"; it may be empty.
  explicit ServerError(std::string_view reply, std::string_view doing = {});

  /// The first word of the reply: `WRONGTYPE`, `OOM`, `READONLY`, `LOADING`, `NOAUTH`, `NOPERM`,
  /// `ERR` ...
  [[nodiscard]] std::string const& code() const noexcept { return code_; }

 private:
  std::string code_;
};

/// Options::strict, and the server may break a promise of tandem's: its text says how.
class UnsafeServer : public Error {
 public:
  using Error::Error;
};

/// A reply was read as something it is not: an error in the program, or a foreign writer on the
/// key.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// Bytes that the wanted type's `Codec` cannot read.
class CodecError : public Error {
 public:
  using Error::Error;
};

/// A hold had ended before it was given back. Thrown by what is to be written only while it is held
/// (Hold::commit): nothing was written. Reported to Options::on_error by a hold's destructor.
class LockLost : public Error {
 public:
  using Error::Error;
};

/// A thread waits for a lock that it keeps others from giving back: the text names the circle, who
/// holds what and waits for what. Thrown to one of its members, the others go on when that one gives
/// back what it holds.
class Deadlock : public Error {
 public:
  using Error::Error;
};

/// An optimistic change was begun again and again until its deadline, and nothing was applied.
class Conflict : public Error {
 public:
  using Error::Error;
};

/// A queue of bounded length was full for as long as a push may wait. Nothing was put there.
class QueueFull : public Error {
 public:
  using Error::Error;
};

}  // namespace tandem
