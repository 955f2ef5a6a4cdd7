#pragma once

// Every public header, for those who want one line. Each may be included alone.

#include <tandem/buffered_counter.hpp>
#include <tandem/cached_map.hpp>
#include <tandem/client.hpp>
#include <tandem/core/connection.hpp>
#include <tandem/counter.hpp>
#include <tandem/hold.hpp>
#include <tandem/id_generator.hpp>
#include <tandem/lock.hpp>
#include <tandem/multi_lock.hpp>
#include <tandem/mutex.hpp>
#include <tandem/owner.hpp>
#include <tandem/queue.hpp>
#include <tandem/ranking.hpp>
#include <tandem/rate_limiter.hpp>
#include <tandem/recursive_lock.hpp>
#include <tandem/rolling_counter.hpp>
#include <tandem/semaphore.hpp>
#include <tandem/shared_list.hpp>
#include <tandem/shared_lock.hpp>
#include <tandem/shared_map.hpp>
#include <tandem/shared_mutex.hpp>
#include <tandem/shared_set.hpp>
#include <tandem/shared_value.hpp>
#include <tandem/statistics.hpp>
#include <tandem/worker.hpp>
