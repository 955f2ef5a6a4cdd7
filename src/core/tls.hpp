#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include <tandem/core/options.hpp>

struct ssl_st;

namespace tandem::detail {

/// One TLS session over a non-blocking socket that somebody else owns and waits for.
///
/// OpenSSL is used directly because hiredis' own TLS layer does not check that the certificate
/// bears the host's name, cannot bound a handshake by a deadline, and writes in a way that raises
/// SIGPIPE.
///
/// Errors:  throws Unreachable at construction when a certificate file cannot be used.
class Tls {
 public:
  Tls(Options const& options, int fd);

  /// How far a step came: `bytes` of it were done; or none, and `wait_for` (POLLIN or POLLOUT) must
  /// come first; or the session is over, and `error` says why ("" for an orderly end).
  struct Step {
    std::size_t bytes = 0;
    short wait_for = 0;
    bool over = false;
    std::string error{};
  };
  Step shake_hands();  ///< done when `wait_for` is 0 and it is not over
  Step read(char* into, std::size_t size);
  Step write(char const* from, std::size_t size);
  /// Whether bytes of the server's are here already, so that the socket need not say anything.
  [[nodiscard]] bool has_more() noexcept;

 private:
  struct Free {
    void operator()(ssl_st* session) const noexcept;
  };
  Step step(int result);

  std::unique_ptr<ssl_st, Free> session_;
  std::mutex mutex_{};  // one thread may read while another writes; OpenSSL may not
};

}  // namespace tandem::detail
