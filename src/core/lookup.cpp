#include "core/lookup.hpp"

#include <mutex>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/core.h>
#include <sys/socket.h>

#include "core/bell.hpp"
#include "core/thread.hpp"

namespace tandem::detail {
namespace {

struct Answer {
  int error = 0;
  Addresses found{};
};

Answer ask_resolver(std::string const& host, std::string const& port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  int const error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  return {error, Addresses{error == 0 ? found : nullptr}};
}

/// What the thread that looks up and the one that waits for it share.
class Lookup {
 public:
  Lookup(std::string host, std::string port) : host_{std::move(host)}, port_{std::move(port)} {}

  void run() {
    auto answer = ask_resolver(host_, port_, 0);
    std::lock_guard const guard{mutex_};
    answer_ = std::move(answer);
    bell_.ring();
  }

  [[nodiscard]] Bell const& bell() const noexcept { return bell_; }
  [[nodiscard]] Answer take() {
    std::lock_guard const guard{mutex_};
    return std::move(answer_);
  }

 private:
  std::string host_;
  std::string port_;
  std::mutex mutex_{};
  Answer answer_{};
  Bell bell_{};
};

[[noreturn]] void fail(Options const& options, std::string_view why) {
  throw Unreachable{fmt::format("tandem: cannot connect to {}: {}", options.endpoint(), why)};
}

}  // namespace

Addresses look_up(Options const& options, Deadline deadline, Waiting& waiting) {
  auto const port = std::to_string(options.port);
  if (auto numeric = ask_resolver(options.host, port, AI_NUMERICHOST); numeric.error == 0)
    return std::move(numeric.found);

  auto const lookup = std::make_shared<Lookup>(options.host, port);
  if (lookup->bell().error() != 0) fail(options, error_text(lookup->bell().error()));
  try {
    auto thread = thread_without_signals([lookup] { lookup->run(); });
    thread.detach();
  } catch (std::system_error const& fault) {
    fail(options, fmt::format("no thread to look its name up: {}", fault.what()));
  }
  if (!waiting.wait(lookup->bell().descriptor(), POLLIN, deadline))
    fail(options, "timeout while looking its name up");
  auto answer = lookup->take();
  if (answer.error != 0) fail(options, ::gai_strerror(answer.error));
  return std::move(answer.found);
}

}  // namespace tandem::detail
