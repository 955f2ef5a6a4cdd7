#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <tandem/core/channel.hpp>
#include <tandem/core/pipeline.hpp>
#include <tandem/core/transaction.hpp>

namespace tandem {

/// What can be said to a server: the face that `Client` and `Connection` share.
///
/// Every call is over within Options::command_timeout. No call is repeated once it may have been
/// executed, except scripts that promise to bear it (see `Script`).
///
/// Errors:  Unreachable, InDoubt, ServerError; what each means for the caller is said at `Error`.
class Conversation {
 public:
  /// Sends one command; its reply. Words are text, integers and floating-point numbers.
  ///
  ///     redis.command("SET", "k", "v", "PX", 1500);
  ///
  /// Cost:    1 round trip.
  template <class... Words>
  Reply command(Words const&... words) {
    Argument const list[] = {Argument(words)...};
    return execute(list);
  }

  /// The same for a number of words that is known only at run time.
  Reply execute(std::span<Argument const> words);

  /// Runs a script on `keys`; its reply.
  ///
  /// Cost:    1 round trip; 2 when the server does not know the script yet.
  template <class... Words>
  Reply run(Script const& script, std::initializer_list<std::string_view> keys,
            Words const&... arguments) {
    std::span<std::string_view const> const key_list{keys.begin(), keys.size()};
    if constexpr (sizeof...(Words) == 0) {
      return channel_->run(script, key_list, {}, channel_->deadline());
    } else {
      Argument const list[] = {Argument(arguments)...};
      return channel_->run(script, key_list, list, channel_->deadline());
    }
  }

  /// An empty pipeline to this server.
  [[nodiscard]] Pipeline pipeline() { return Pipeline{channel_}; }

  /// Reads, decides and writes as if alone: WATCH `keys`, call `body`, MULTI, what it queued, EXEC.
  /// When another client changed one of the keys meanwhile, nothing was applied and `body` runs
  /// again, until Options::command_timeout is over.
  ///
  ///     long long total = redis.transaction({"a", "b"}, [](tandem::Transaction& tx) {
  ///         auto a = tx.read("GET", "a").as<std::optional<long long>>().value_or(0);
  ///         tx.queue("SET", "b", a + 1);
  ///         return a + 1;
  ///     });
  ///
  /// Returns what `body` returned in the try that succeeded; the replies of the queued commands
  /// where `body` returns nothing. When `body` queues nothing, nothing is changed, and what it read
  /// may be of different moments; when it throws, nothing is applied.
  ///
  /// Cost:    2 round trips for each try with one read.
  /// Errors:  Conflict when the keys kept changing; Unreachable and ServerError when nothing was
  ///          applied, except that a ServerError saying so came after the other queued commands
  ///          were; InDoubt when EXEC's reply was lost.
  template <class Body>
  auto transaction(std::initializer_list<std::string_view> keys, Body&& body) {
    return transaction(std::span<std::string_view const>{keys.begin(), keys.size()},
                       std::forward<Body>(body));
  }
  template <class Body>
  auto transaction(std::span<std::string_view const> keys, Body&& body) {
    static_assert(std::is_invocable_v<Body&, Transaction&>, "called as body(tandem::Transaction&)");
    using Result = std::invoke_result_t<Body&, Transaction&>;
    if constexpr (std::is_void_v<Result>) {
      return detail::run_transaction(
          *channel_, keys, channel_->deadline(),
          [](void* context, Transaction& tx) {
            (*static_cast<std::remove_reference_t<Body>*>(context))(tx);
          },
          const_cast<void*>(static_cast<void const*>(&body)));
    } else {
      struct Context {
        Body& body;
        std::optional<Result> result;
      } context{body, std::nullopt};
      (void)detail::run_transaction(
          *channel_, keys, channel_->deadline(),
          [](void* raw, Transaction& tx) {
            auto& inside = *static_cast<Context*>(raw);
            inside.result.emplace(inside.body(tx));
          },
          &context);
      return *std::move(context.result);
    }
  }

  [[nodiscard]] Options const& options() const noexcept { return channel_->options(); }

 protected:
  explicit Conversation(std::shared_ptr<detail::Channel> channel) : channel_{std::move(channel)} {}

  std::shared_ptr<detail::Channel> channel_;
};

}  // namespace tandem
