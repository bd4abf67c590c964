// Package retry holds what every retry loop needs: how long to wait before the next
// attempt ([Backoff], [Sleep]), and when to log a failure that repeats ([Episode]).
//
// A retry loop looks like this:
//
//	for {
//		err := try(ctx)
//		if err == nil {
//			backoff.Reset()
//			episode.Recovered(ctx)
//			return nil
//		}
//		episode.Failed(ctx, err)
//		if err := retry.Sleep(ctx, backoff.Next()); err != nil {
//			return err // ctx has ended
//		}
//	}
//
// An episode is the time from the first failure to the next success. It logs its begin,
// every kind of error that is new to it, a reminder each minute, and its end. [Class]
// decides whether two errors are of the same kind.
package retry
