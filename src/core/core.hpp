#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <tandem/core/channel.hpp>
#include <tandem/core/inspection.hpp>

#include "core/attendant.hpp"
#include "core/events.hpp"
#include "core/pool.hpp"
#include "core/shared_line.hpp"

namespace tandem::detail {

/// What the handles of one client share: its connections, its event thread, and what primitives
/// keep per client.
///
/// All of it belongs to one process. The child of a fork starts from nothing; what it inherited is
/// abandoned as it is, never destroyed, because the parent's other threads may have been in the
/// middle of changing it.
class Core final : public Channel {
 public:
  explicit Core(Options options);
  ~Core() override;

  [[nodiscard]] Options const& options() const noexcept override { return *options_; }
  using Channel::ask;
  [[nodiscard]] Reply ask(CommandBuffer const& command, Deadline deadline, Repeat repeat,
                          Doubt& doubt) override;
  [[nodiscard]] std::vector<Reply> ask_all(CommandBuffer const& commands,
                                           Deadline deadline) override;
  [[nodiscard]] WireLease borrow(Deadline deadline) override;

  /// Connects, if nobody has. Throws what refuses it.
  void connect() { (void)process().line.get(deadline()); }

  /// Looks at the server, and at what may be done with `key`, over a connection of its own.
  [[nodiscard]] Inspection inspect(std::string_view key);

  /// Sends the one command in `command`, whose reply nobody waits for: Options::on_error is told when
  /// it fails. Throws Unreachable when it could not be sent.
  void post(CommandBuffer const& command);

  /// The one `Service` of this core in this process, made by the first call. A service is an
  /// EventListener that is constructed from a Core&; it is attached to the event thread, which it
  /// may start.
  template <class Service>
  [[nodiscard]] Service& service() {
    auto& mine = process();
    std::lock_guard const guard{mine.services_mutex};
    static char const key = 0;
    for (auto const& [have, service] : mine.services) {
      if (have == &key) return static_cast<Service&>(*service);
    }
    auto made = std::make_unique<Service>(*this);
    auto& out = *made;
    mine.events.attach(out);
    mine.services.emplace_back(&key, std::move(made));
    return out;
  }

  [[nodiscard]] Events& events() noexcept { return process().events; }

 private:
  struct OfThisProcess {
    explicit OfThisProcess(std::shared_ptr<Options const> shared);
    ~OfThisProcess();
    void say_goodbye() noexcept;
    void settle_posts(Deadline deadline);

    std::shared_ptr<Options const> options;
    SharedLine line;
    Pool pool;  // for conversations that need a connection of their own
    Attendant attendant;
    std::mutex services_mutex{};
    std::vector<std::pair<void const*, std::unique_ptr<EventListener>>> services{};
    Events events;
    std::atomic<bool> attended = false;
  };

  class Way;

  void attend_from_now_on();
  static void refuse_what_changes_the_connection(CommandBuffer const& commands);
  [[nodiscard]] OfThisProcess& process() const noexcept {
    return *process_.load(std::memory_order_acquire);
  }

  std::shared_ptr<Options const> options_;
  std::atomic<OfThisProcess*> process_;
  std::optional<ForkHook> fork_hook_;
};

}  // namespace tandem::detail
