#include "tandem/core/connection.hpp"

#include <utility>

#include "core/pool.hpp"
#include "core/wire.hpp"

namespace tandem {
namespace {

/// A channel of exactly one wire.
class OwnWire final : public detail::Channel {
 public:
  explicit OwnWire(Options options) : options_{checked(std::move(options))} {}

  [[nodiscard]] Options const& options() const noexcept override { return options_; }

  // A repetition needs another connection, and there is none.
  using Channel::ask;
  Reply ask(CommandBuffer const& command, Deadline deadline, detail::Repeat /*repeat*/,
            detail::Doubt& /*doubt*/) override {
    wire_->send(command, deadline);
    return wire_->receive_answer(deadline);
  }

  std::vector<Reply> ask_all(CommandBuffer const& commands, Deadline deadline) override {
    return detail::exchange(*wire_, commands, deadline);
  }

  detail::WireLease borrow(Deadline /*deadline*/) override {
    if (!wire_->broken()) return {nullptr, wire_};
    throw Unreachable{"tandem: this connection to " + options_.endpoint() +
                      " is broken after an earlier fault"};
  }

  [[nodiscard]] detail::Wire const& wire() const noexcept { return *wire_; }

 private:
  static Options checked(Options options) {
    options.check();
    return options;
  }

  Options options_;
  detail::CallerWaits waiting_{};
  std::shared_ptr<detail::Wire> wire_ = std::make_shared<detail::Wire>(
      options_, std::chrono::steady_clock::now() + options_.connect_timeout, waiting_);
};

OwnWire const& own(detail::Channel const& channel) { return static_cast<OwnWire const&>(channel); }

}  // namespace

Connection::Connection(std::string_view url) : Connection{Options::from_url(url)} {}

Connection::Connection(Options options)
    : Conversation{std::make_shared<OwnWire>(std::move(options))} {}

bool Connection::usable() const noexcept {
  return channel_ != nullptr && !own(*channel_).wire().broken();
}

int Connection::protocol() const noexcept { return own(*channel_).wire().protocol(); }

}  // namespace tandem
