// What a server says, from its socket to the conversions of a Reply: whatever the bytes are, they
// are replies or a fault, the same ones however they are cut, and every conversion gives a value or
// says why not.
//
// The first byte says in pieces of which size they come, the second whether the server greets first
// as it should.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <tandem/core/command.hpp>
#include <tandem/core/options.hpp>
#include <tandem/core/reply.hpp>

#include "core/line.hpp"
#include "core/waiting.hpp"
#include "core/wire.hpp"
#include "target.hpp"

namespace {

using namespace std::chrono_literals;
using tandem::Reply;
using tandem::ReplyKind;
using tandem::ReplyView;
using tandem::fuzz::require;

// Nothing here waits for anybody: what is late is a hang.
constexpr auto enough = 20s;

/// A server in the thread of its client: it speaks when the client, by the library's own seam,
/// waits for it.
class Server final : public tandem::detail::Waiting {
 public:
  Server() {
    address_.sun_family = AF_UNIX;
    auto const name = "/tmp/tandem-fuzz-" + std::to_string(::getpid()) + ".sock";
    name.copy(address_.sun_path, sizeof address_.sun_path - 1);
    options_ = tandem::Options::from_url("unix://" + name);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ::unlink(name.c_str());
    require(::bind(listener_, reinterpret_cast<sockaddr*>(&address_), sizeof address_) == 0 &&
                ::listen(listener_, 1) == 0,
            "a socket to listen on");
  }
  ~Server() override {
    hang_up();
    ::close(listener_);
    ::unlink(address_.sun_path);
  }

  [[nodiscard]] tandem::Options const& options() const { return options_; }

  /// Over the next connection it says the greeting, then `bytes` in pieces, and hangs up.
  void will_say(std::string_view greeting, std::string_view bytes, std::size_t piece) {
    hang_up();
    bytes_ = std::string{greeting}.append(bytes);
    greeting_ = greeting.size();
    said_ = 0;
    piece_ = piece;
  }
  /// Says all the rest now.
  void say_all() {
    while (said_ < bytes_.size()) say_more();
    ::shutdown(client_, SHUT_WR);
  }

  bool wait(int /*fd*/, short events, tandem::Deadline /*deadline*/) override {
    if ((events & POLLIN) == 0) return true;
    if (client_ < 0) client_ = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (said_ < bytes_.size()) {
      say_more();
    } else {
      ::shutdown(client_, SHUT_WR);
    }
    return true;
  }

 private:
  void say_more() {
    // What came with the greeting would be an answer that nobody has asked for yet.
    auto const size = said_ < greeting_ ? greeting_ : piece_;
    auto const piece = std::string_view{bytes_}.substr(said_, size);
    auto const sent = ::send(client_, piece.data(), piece.size(), MSG_NOSIGNAL);
    said_ = sent < 0 ? bytes_.size() : said_ + static_cast<std::size_t>(sent);
  }
  void hang_up() {
    if (client_ >= 0) ::close(std::exchange(client_, -1));
  }

  sockaddr_un address_{};
  tandem::Options options_{};
  int listener_ = -1;
  int client_ = -1;
  std::string bytes_{};
  std::size_t greeting_ = 0;
  std::size_t said_ = 0;
  std::size_t piece_ = 1;
};

Server& server() {
  static Server one;
  return one;
}

/// Asks for `reply` as a T, which gives one or says why not.
template <class T>
void convert(ReplyView reply) {
  try {
    auto const value = reply.as<T>();
    (void)value;
  } catch (tandem::ShapeError const&) {
  } catch (tandem::ServerError const&) {
  }
}

void convert_to_all(ReplyView reply) {
  convert<std::string>(reply);
  convert<std::string_view>(reply);
  convert<std::int8_t>(reply);
  convert<std::int64_t>(reply);
  convert<std::uint64_t>(reply);
  convert<double>(reply);
  convert<float>(reply);
  convert<bool>(reply);
  convert<std::optional<std::string>>(reply);
  convert<std::vector<std::string>>(reply);
  convert<std::vector<std::optional<long long>>>(reply);
  convert<std::vector<std::vector<std::string>>>(reply);
  convert<std::vector<std::pair<std::string, std::string>>>(reply);
  convert<std::vector<std::pair<std::string, std::vector<double>>>>(reply);
  convert<std::pair<std::string, std::int32_t>>(reply);
}

/// A reply in words.
void describe(ReplyView reply, std::string& out) {
  out += std::to_string(static_cast<int>(reply.kind())) + ":";
  if (reply.is_error()) out += reply.error_text();
  if (reply.kind() == ReplyKind::text || reply.kind() == ReplyKind::status)
    out += reply.as<std::string_view>();
  for (std::size_t i = 0; i < reply.size(); ++i) describe(reply[i], out);
  out += ';';
}

/// `reply` and its parts, so many levels down, as everything they might be.
void convert_parts(ReplyView reply, int levels) {
  convert_to_all(reply);
  try {
    (void)reply[reply.size()];
    require(false, "there is no element behind the last");
  } catch (tandem::ShapeError const&) {
  } catch (tandem::ServerError const&) {
  }
  for (std::size_t i = 0; levels > 0 && i < reply.size(); ++i) convert_parts(reply[i], levels - 1);
}

constexpr std::size_t questions = 4;

tandem::CommandBuffer ask() {
  tandem::CommandBuffer out;
  for (std::size_t i = 0; i < questions; ++i)
    out.add(std::initializer_list<tandem::Argument>{"GET", i});
  return out;
}

std::unique_ptr<tandem::detail::Wire> connect() {
  return std::make_unique<tandem::detail::Wire>(
      server().options(), std::chrono::steady_clock::now() + enough, server());
}

/// What a conversation that waits for each reply is told.
std::string over_a_wire(std::string_view greeting, std::string_view bytes, std::size_t piece) {
  std::string out;
  server().will_say(greeting, bytes, piece);
  try {
    auto const wire = connect();
    auto const deadline = std::chrono::steady_clock::now() + enough;
    wire->send(ask(), deadline);
    for (std::size_t i = 0; i < questions; ++i) {
      auto reply = wire->receive_answer(deadline);
      describe(reply, out);
      if (reply.kind() != ReplyKind::array && reply.kind() != ReplyKind::map) continue;
      for (auto const& each : std::move(reply).take_elements()) describe(each, out);
    }
  } catch (tandem::ServerError const&) {
    out += "refused";
  } catch (tandem::InDoubt const&) {
    out += "in doubt";
  } catch (tandem::Unreachable const&) {
    out += "unreachable";
  }
  return out;
}

/// The same, where all is there before anything is read, over a line.
void over_a_line(std::string_view greeting, std::string_view bytes) {
  server().will_say(greeting, bytes, bytes.size() + 1);
  std::unique_ptr<tandem::detail::Wire> wire;
  try {
    wire = connect();
  } catch (tandem::Error const&) {
    return;
  }
  server().say_all();
  tandem::detail::Line line{server().options(), std::move(wire)};
  std::vector<Reply> replies;
  for (std::size_t i = 0; i < questions; ++i) replies.emplace_back(nullptr);
  tandem::detail::Call call{replies};
  line.exchange(ask().bytes(), call, std::chrono::steady_clock::now() + enough);
  using Fate = tandem::detail::Request::Fate;
  require(call.fate() == Fate::answered || call.why().find("timeout") == std::string::npos,
          "nothing is waited for that cannot come");
  if (call.fate() == Fate::answered) {
    for (auto const& reply : replies) convert_parts(reply, 1);
  }
  (void)line.usable();
}

}  // namespace

int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size < 2) return 0;
  std::size_t const piece = std::max<std::size_t>(1 + data[0] % 64, size / 64);
  auto const bytes = tandem::fuzz::text_of(data + 2, size - 2);
  if (data[1] % 2 != 0) {
    (void)over_a_wire("", bytes, piece);
    return 0;
  }
  constexpr std::string_view greeting = "%1\r\n+proto\r\n:3\r\n";
  auto const whole = over_a_wire(greeting, bytes, bytes.size() + 1);
  require(over_a_wire(greeting, bytes, piece) == whole, "however it is cut, it says the same");
  over_a_line(greeting, bytes);
  return 0;
}
