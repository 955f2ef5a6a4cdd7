#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <hiredis/hiredis.h>
#ifdef TANDEM_BENCH_HIREDIS_SSL
#include <hiredis/hiredis_ssl.h>
#endif

namespace bench {

/// A connection by hiredis alone, the limit that every library over it is measured by.
///
/// Errors:  std::runtime_error when it cannot connect, loses the connection or an error is answered.
/// Threads: one at a time.
class Bare {
 public:
  static Bare over_unix(std::string const& path) { return Bare{redisConnectUnix(path.c_str())}; }
  static Bare over_tcp(int port) { return Bare{redisConnect("127.0.0.1", port)}; }

#ifdef TANDEM_BENCH_HIREDIS_SSL
  static constexpr bool has_tls = true;
  /// `authority`: a PEM file.
  static Bare over_tls(int port, std::string const& authority) {
    auto out = over_tcp(port);
    out.tls_.reset(
        redisCreateSSLContext(authority.c_str(), nullptr, nullptr, nullptr, nullptr, nullptr));
    if (out.tls_ == nullptr ||
        redisInitiateSSLWithContext(out.context_.get(), out.tls_.get()) != REDIS_OK) {
      throw std::runtime_error{std::string{"no TLS with hiredis: "} + out.context_->errstr};
    }
    return out;
  }
#else
  static constexpr bool has_tls = false;  // hiredis was built without
  static Bare over_tls(int, std::string const&) { throw std::logic_error{"hiredis has no TLS"}; }
#endif

  struct Free {
    void operator()(redisContext* context) const { redisFree(context); }
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
#ifdef TANDEM_BENCH_HIREDIS_SSL
    void operator()(redisSSLContext* context) const { redisFreeSSLContext(context); }
#endif
  };
  using Reply = std::unique_ptr<redisReply, Free>;

  template <std::convertible_to<std::string_view>... Words>
  Reply command(Words const&... words) {
    std::array<std::string_view, sizeof...(words)> const views{std::string_view{words}...};
    return command(std::span<std::string_view const>{views});
  }

  Reply command(std::span<std::string_view const> words) {
    append(words);
    return next();
  }

  /// Writes a command that leaves with the next `next`; its reply is one of those.
  template <std::convertible_to<std::string_view>... Words>
  void append(Words const&... words) {
    std::array<std::string_view, sizeof...(words)> const views{std::string_view{words}...};
    append(std::span<std::string_view const>{views});
  }
  void append(std::span<std::string_view const> words) {
    std::array<char const*, 16> starts{};
    std::array<std::size_t, 16> sizes{};
    if (words.size() > starts.size()) throw std::length_error{"a command of too many words"};
    for (std::size_t i = 0; i < words.size(); ++i) {
      starts[i] = words[i].data();
      sizes[i] = words[i].size();
    }
    if (redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), starts.data(),
                               sizes.data()) != REDIS_OK) {
      throw std::runtime_error{std::string{"hiredis: "} + context_->errstr};
    }
  }

  /// The next reply, or what the server says unasked, as after MONITOR.
  Reply next() {
    void* reply = nullptr;
    (void)redisGetReply(context_.get(), &reply);
    return checked(reply);
  }

 private:
  explicit Bare(redisContext* context) : context_{context} {
    if (context_ == nullptr) throw std::bad_alloc{};
    if (context_->err != 0) throw std::runtime_error{std::string{"hiredis: "} + context_->errstr};
  }

  Reply checked(void* answer) const {
    Reply reply{static_cast<redisReply*>(answer)};
    if (reply == nullptr) throw std::runtime_error{std::string{"hiredis: "} + context_->errstr};
    if (reply->type == REDIS_REPLY_ERROR) throw std::runtime_error{reply->str};
    return reply;
  }

#ifdef TANDEM_BENCH_HIREDIS_SSL
  std::unique_ptr<redisSSLContext, Free> tls_{};  // outlives the connection
#endif
  std::unique_ptr<redisContext, Free> context_;
};

}  // namespace bench
