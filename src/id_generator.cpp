#include "tandem/id_generator.hpp"

#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "core/core.hpp"
#include "core/per_process.hpp"
#include "core/scratch.hpp"

namespace tandem {
namespace {

constexpr std::int64_t largest_block = 1'000'000'000;

}  // namespace

struct IdGenerator::State {
  State(Client a_client, std::string a_name, std::int64_t a_block)
      : client{std::move(a_client)}, name{std::move(a_name)}, block{a_block} {
    if (name.empty()) {
      throw std::invalid_argument{
          "tandem: an id generator's name is empty; it is a key of 1 byte or more"};
    }
    if (block < 1 || block > largest_block) {
      throw std::invalid_argument{
          fmt::format("tandem: id generator \"{}\": the block is {}; accepted is 1 to {}", name,
                      block, largest_block)};
    }
  }

  /// What was taken and not yet handed out.
  struct Stock {
    [[nodiscard]] std::optional<std::int64_t> take() {
      std::lock_guard const guard{mutex};
      if (left == 0) return std::nullopt;
      return highest - --left;
    }
    void put(std::int64_t taken_up_to, std::int64_t count) {
      std::lock_guard const guard{mutex};
      highest = taken_up_to;
      left = count;
    }

    std::mutex mutex{};
    std::int64_t highest = 0;
    std::int64_t left = 0;
    std::mutex turn{};  // of one thread, to ask for all
  };

  /// The highest number of a new block. A block whose reply was lost is abandoned for another: both
  /// are nobody else's, so the command may go out again.
  std::int64_t take_block(Deadline deadline) {
    detail::ScratchCommand const command;
    command->add(std::initializer_list<Argument>{"INCRBY", name, block});
    auto const reply = client.core().ask(*command, deadline, detail::Repeat::safe);
    if (reply.is_error()) reply.throw_if_error("INCRBY on " + name);
    return reply.as<std::int64_t>();
  }

  Client client;
  std::string name;
  std::int64_t block;
  detail::PerProcess<Stock> stocks{};
};

IdGenerator::IdGenerator(Client client, std::string name, IdGeneratorOptions options)
    : state_{std::make_shared<State>(std::move(client), std::move(name), options.block)} {}

std::string const& IdGenerator::name() const noexcept { return state_->name; }

std::int64_t IdGenerator::next() {
  auto& state = *state_;
  auto& stock = state.stocks.get();
  if (auto const id = stock.take()) return *id;
  auto const deadline = state.client.core().deadline();
  std::lock_guard const turn{stock.turn};  // until another's deadline, which is before this one's
  if (auto const id = stock.take()) return *id;  // of the block that that one got
  auto const highest = state.take_block(deadline);
  stock.put(highest, state.block - 1);
  return highest - (state.block - 1);
}

}  // namespace tandem
