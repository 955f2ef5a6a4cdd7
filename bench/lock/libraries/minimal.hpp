#pragma once

#include <stdexcept>
#include <string>

#include "bare.hpp"
#include "lock/library.hpp"

namespace bench::lock {

/// The least that can be called a lock of one's own: a script that takes a free key, and one that
/// deletes it when it has the token still. No fence, no queue. It cannot wait: for one caller.
class Minimal final : public Library {
 public:
  explicit Minimal(Task const& task)
      : connection_{Bare::over_unix(task.socket)},
        name_{task.name},
        lease_{std::to_string(task.lease.count())},
        take_{load("if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end "
                   "return 0")},
        give_{load("if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
                   "return redis.call('DEL', KEYS[1])")} {}

  [[nodiscard]] std::string text() const override {
    return "SET NX PX, compare and delete: two scripts, EVALSHA by hiredis alone";
  }
  void acquire(int /*caller*/) override {
    expect_one(connection_.command("EVALSHA", take_, "1", name_, token, lease_));
  }
  void release(int /*caller*/) override {
    expect_one(connection_.command("EVALSHA", give_, "1", name_, token));
  }

 private:
  static constexpr auto token = "0123456789abcdef0123456789abcdef";

  std::string load(char const* script) {
    auto const reply = connection_.command("SCRIPT", "LOAD", script);
    return {reply->str, reply->len};
  }
  static void expect_one(Bare::Reply const& reply) {
    if (reply->integer != 1) throw std::runtime_error{"held by somebody else"};
  }

  Bare connection_;
  std::string name_;
  std::string lease_;
  std::string take_;
  std::string give_;
};

}  // namespace bench::lock
