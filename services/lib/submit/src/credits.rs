//! How a ledger is kept, from the settings.

use runtime::settings::CreditSettings;
use store::CreditRules;

/// The rules of the ledger; none while credits are not enabled.
pub fn credit_rules(settings: &CreditSettings) -> Option<CreditRules> {
    settings.enable_credit.then(|| {
        CreditRules::new(
            settings.num_user_credits_refill,
            settings.low_balance_threshold,
            settings.execution_cost_count_threshold,
            settings.execution_cost_per_threshold,
        )
    })
}
