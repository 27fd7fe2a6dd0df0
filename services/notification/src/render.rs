//! Notifications as mails. Our own words and templates; every value is escaped.

use minijinja::{AutoEscape, Environment, context};
use model::Map;
use model::notification::NotificationType;
use serde_json::Value;

/// A mail without an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub subject: String,
    pub html: String,
}

/// The templates, parsed once.
pub struct Renderer {
    templates: Environment<'static>,
    settings_url: Option<String>,
}

impl Renderer {
    /// `frontend_base_url` is where the link to the account settings leads; empty leaves the link out.
    pub fn new(frontend_base_url: &str) -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.add_template("base.html", include_str!("templates/base.html"))?;
        templates.add_template("agent_run.html", include_str!("templates/agent_run.html"))?;
        templates.add_template("fields.html", include_str!("templates/fields.html"))?;
        templates.add_template("password_recovery.html", include_str!("templates/password_recovery.html"))?;
        templates.add_template("email_changed.html", include_str!("templates/email_changed.html"))?;
        let settings_url = Some(frontend_base_url)
            .filter(|url| !url.is_empty())
            .map(|url| format!("{url}/profile/settings"));
        Ok(Self { templates, settings_url })
    }

    /// One mail for all `events`, whose shape depends on the type (internals §5.2).
    pub fn render(&self, kind: NotificationType, events: &[Map]) -> Result<Rendered, minijinja::Error> {
        let subject = subject(kind).to_owned();
        let template = match kind {
            NotificationType::AgentRun => "agent_run.html",
            NotificationType::PasswordRecovery => "password_recovery.html",
            NotificationType::EmailChanged => "email_changed.html",
            _ => "fields.html",
        };
        let total_credits: f64 = events.iter().filter_map(|event| event.get("credits_used").and_then(Value::as_f64)).sum();
        let html = self.templates.get_template(template)?.render(context! {
            subject => subject.as_str(),
            events => minijinja::value::Serde(events),
            total_credits => total_credits,
            // Mails about the account cannot be switched off.
            settings_url => self.settings_url.as_deref().filter(|_| !kind.is_account_mail()),
        })?;
        Ok(Rendered { subject, html })
    }
}

fn subject(kind: NotificationType) -> &'static str {
    match kind {
        NotificationType::AgentRun => "Your agent runs",
        NotificationType::ZeroBalance => "Your credits are used up",
        NotificationType::LowBalance => "Your credits are running low",
        NotificationType::BlockExecutionFailed => "A step of your agent failed",
        NotificationType::ContinuousAgentError => "Your agent keeps failing",
        NotificationType::DailySummary => "Your day in agents",
        NotificationType::WeeklySummary => "Your week in agents",
        NotificationType::MonthlySummary => "Your month in agents",
        NotificationType::RefundRequest => "A refund was requested",
        NotificationType::RefundProcessed => "A refund was processed",
        NotificationType::AgentApproved => "Your agent was approved",
        NotificationType::AgentRejected => "Your agent was not approved",
        NotificationType::PasswordRecovery => "Choose a new password",
        NotificationType::EmailChanged => "The address of your account was changed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(name: &str, credits: i64) -> Map {
        let value = json!({"agent_name": name, "credits_used": credits, "execution_time": 2.345, "node_count": 4, "outputs": [{"name": "text", "output": ["<b>hi</b>"]}]});
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_agent_run_shows_its_figures_and_outputs_escaped() {
        let mail = Renderer::new("http://front")
            .unwrap()
            .render(NotificationType::AgentRun, &[run("Greeter", 3)])
            .unwrap();
        assert!(
            mail.html.contains("Greeter") && mail.html.contains("4 steps in 2.3 s, 3 credits"),
            "{}",
            mail.html
        );
        assert!(mail.html.contains("&lt;b&gt;hi") && !mail.html.contains("<b>hi"), "{}", mail.html);
        assert!(mail.html.contains("account settings"));
    }

    #[test]
    fn several_runs_are_added_up() {
        let mail = Renderer::new("")
            .unwrap()
            .render(NotificationType::AgentRun, &[run("A", 3), run("B", 4)])
            .unwrap();
        assert!(mail.html.contains("2 runs, 7"), "{}", mail.html);
        assert!(!mail.html.contains("account settings"));
    }

    #[test]
    fn a_run_with_nothing_in_it_still_renders() {
        let mail = Renderer::new("").unwrap().render(NotificationType::AgentRun, &[Map::new()]).unwrap();
        assert!(mail.html.contains("Unnamed agent"));
    }

    #[test]
    fn a_recovery_mail_carries_its_link_and_no_way_to_switch_it_off() {
        let data = json!({"to": "ada@example.test", "link": "http://rest/auth/v1/verify?token=t&type=recovery", "minutes": 60});
        let data = data.as_object().unwrap().clone();
        let mail = Renderer::new("http://front")
            .unwrap()
            .render(NotificationType::PasswordRecovery, &[data])
            .unwrap();
        assert!(
            mail.html
                .contains("http:&#x2f;&#x2f;rest&#x2f;auth&#x2f;v1&#x2f;verify?token=t&amp;type=recovery"),
            "{}",
            mail.html
        );
        assert!(
            mail.html.contains("60 minutes") && !mail.html.contains("account settings"),
            "{}",
            mail.html
        );
    }

    #[test]
    fn every_other_type_lists_its_fields() {
        let data = json!({"current_balance": 12.5, "billing_page_link": "http://front/credits"})
            .as_object()
            .unwrap()
            .clone();
        let mail = Renderer::new("").unwrap().render(NotificationType::LowBalance, &[data]).unwrap();
        assert!(mail.html.contains("current balance") && mail.html.contains("12.5"), "{}", mail.html);
    }
}
