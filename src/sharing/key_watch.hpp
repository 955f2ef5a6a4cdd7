#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <tandem/core/error.hpp>

#include "core/core.hpp"

namespace tandem::detail {

/// Reads strings for those who wait until they change: once when somebody begins to wait, once more
/// whenever the server says that the key has changed, and after each gap in what it says.
///
/// Threads: safe from several.
/// Source:  Redis documentation, "Client-side caching" (CLIENT TRACKING with OPTIN).
class KeyWatch final : public EventListener {
 public:
  explicit KeyWatch(Core& core) : events_{core.events()} {}

  /// One who waits. Lives on its thread's stack.
  class Waiter {
   public:
    Waiter(KeyWatch& watch, std::string key);
    ~Waiter();
    Waiter(Waiter const&) = delete;
    Waiter& operator=(Waiter const&) = delete;

    /// Whether it was read since the last time that this was asked; then bytes() is what it was. False
    /// at the deadline, or when stop is requested. Throws what the server said instead of a value.
    [[nodiscard]] bool wait(Deadline deadline, std::stop_token const& stop);
    [[nodiscard]] std::optional<std::string> const& bytes() const noexcept { return bytes_; }

   private:
    friend class KeyWatch;
    KeyWatch& watch_;
    std::string const key_;
    // Under the watch's mutex.
    std::uint64_t after_ = 0;  // it has looked itself since that read was sent
    bool is_new_ = false;
    std::optional<std::string> bytes_{};
    std::optional<ServerError> refusal_{};
  };

 private:
  struct Key {
    std::list<Waiter*> waiters{};
    Deadline read_at{};  // max: the server tells when it is time
    std::chrono::milliseconds pause = shortest_pause;
  };
  // Between two reads where the server cannot be reached, or does not tell of changes: soon at
  // first, as a connection that has just begun learns in a moment whether it does.
  static constexpr std::chrono::milliseconds shortest_pause{10};
  static constexpr std::chrono::milliseconds longest_pause{1000};

  void on_subscribed() override { read_all(); }
  void on_disconnected() override { read_all(); }
  void on_changed(std::optional<std::string_view> key) override;
  Deadline on_time(Deadline now) override;

  void read_all();
  /// Sends the question. Whether the server will tell when the answer is another.
  [[nodiscard]] bool read(std::string const& key);
  /// Those who wait for it since before the read of that number was sent.
  void tell(std::string const& key, std::uint64_t number, ReplyView const& reply);

  Events& events_;
  std::mutex mutex_{};
  std::condition_variable_any changed_{};
  std::map<std::string, Key, std::less<>> keys_{};
  std::uint64_t reads_ = 0;
};

}  // namespace tandem::detail
