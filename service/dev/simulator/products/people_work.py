"""People: forms, lists and workflows, with what stands below each."""

from service.dev.simulator.draw import Draw
from service.dev.simulator.schema import Entity, Fan, Relation, Values, capped, entity
from service.dev.simulator.words import TOPICS

FORMS_MAX = 12
LISTS_MAX = 10
WORKFLOWS_MAX = 6
BIG_FORM = BIG_LIST = BIG_WORKFLOW = 115  # more than fit on a page
STEPS = ("ready", "snoozed", "completed", "removed")
CAMPUS = Relation("campus", "people.campus")


def _form(draw: Draw) -> Values:
    topic = TOPICS[draw.index % len(TOPICS)]
    is_archived = draw.chance(0.1)
    return {
        "active": not is_archived,
        "archived": is_archived,
        "archived_at": draw.updated if is_archived else None,
        "deleted_at": None,
        "description": f"<div>{topic}</div>",
        "login_required": draw.chance(0.2),
        "name": f"{topic} sign-up",
        "public_url": f"https://{draw.shape.org}.churchcenter.example.org/people/forms/{draw.index}",
        "recently_viewed": draw.chance(0.2),
        "send_submission_notification_to_submitter": draw.chance(0.5),
        "submission_count": draw.size("people.form_submission", draw.index),
        "campus": draw.maybe(0.5, "people.campus"),
    }


def _form_submission(draw: Draw) -> Values:
    return {
        "requires_verification": False,
        "verified": draw.chance(0.9),
        "form": draw.one("people.form", draw.parent),
        "person": draw.any("people.person"),
    }


def _list(draw: Draw) -> Values:
    name = f"{TOPICS[draw.index * 3 % len(TOPICS)]} list" if draw.chance(0.8) else None
    description = f"People who match rule {draw.index}"
    return {
        "auto_generated_name": name is None,
        "auto_refresh": draw.chance(0.5),
        "auto_refresh_frequency": "daily",
        "automations_active": draw.chance(0.2),
        "automations_count": draw.below(3),
        "batch_completed_at": draw.updated,
        "description": description,
        "has_inactive_results": draw.chance(0.3),
        "include_inactive": False,
        "invalid": False,
        "name": name,
        "name_or_description": name or description,
        "paused_automations_count": 0,
        "recently_viewed": draw.chance(0.2),
        "refreshed_at": draw.updated,
        "return_original_if_none": False,
        "returns": "people",
        "starred": draw.chance(0.2),
        "status": "complete",
        "subset": None,
        "total_people": draw.size("people.list_result", draw.index),
        "campus": draw.maybe(0.3, "people.campus"),
        "created_by": draw.one("people.person", draw.below(5)),
    }


def _list_result(draw: Draw) -> Values:
    return {
        "list": draw.one("people.list", draw.parent),
        "person": draw.one("people.person", draw.parent * BIG_LIST + draw.slot),
    }


def _workflow(draw: Draw) -> Values:
    cards = draw.size("people.workflow_card", draw.index)
    return {
        "archived_at": None,
        "completed_card_count": cards // 3,
        "deleted_at": None,
        "my_due_soon_card_count": 0,
        "my_overdue_card_count": 0,
        "my_ready_card_count": 0,
        "name": f"{TOPICS[draw.index * 7 % len(TOPICS)]} follow-up",
        "recently_viewed": draw.chance(0.2),
        "total_cards_count": cards,
        "total_overdue_card_count": 0,
        "total_ready_and_snoozed_card_count": cards - cards // 3,
        "total_ready_card_count": cards // 3,
        "total_steps_count": 3,
        "total_unassigned_card_count": 0,
        "total_unassigned_steps_count": 0,
        "campus": draw.maybe(0.5, "people.campus"),
    }


def _workflow_card(draw: Draw) -> Values:
    stage = draw.pick(STEPS)
    return {
        "calculated_due_at_in_days_ago": draw.below(30) if stage == "ready" else None,
        "completed_at": draw.updated if stage == "completed" else None,
        "flagged_for_notification_at": None,
        "moved_to_step_at": draw.updated,
        "overdue": stage == "ready" and draw.chance(0.2),
        "removed_at": draw.updated if stage == "removed" else None,
        "snooze_until": draw.later() if stage == "snoozed" else None,
        "stage": stage,
        "sticky_assignment": draw.chance(0.1),
        "assignee": draw.one("people.person", draw.below(5)) if draw.chance(0.9) else None,
        "person": draw.any("people.person"),
        "workflow": draw.one("people.workflow", draw.parent),
    }


_WORKFLOW = "T name archived_at deleted_at campus_id workflow_category_id"

ENTITIES: tuple[Entity, ...] = (
    entity(
        "people.form",
        "Form",
        "forms",
        "T name description active:b archived:b archived_at:t deleted_at:t public_url login_required:b "
        "recently_viewed:b send_submission_notification_to_submitter:b submission_count:i",
        capped(250, 3, FORMS_MAX),
        _form,
        relations=(CAMPUS, Relation("form_category")),
        where="active id",
        order="T active archived_at deleted_at description name",
        include="campus",
        counts={"submission_count": "people.form_submission"},
    ),
    entity(
        "people.form_submission",
        "FormSubmission",
        "form_submissions",
        "T verified:b requires_verification:b?",
        Fan("people.form", 9, first=BIG_FORM),
        _form_submission,
        relations=(
            Relation("person", "people.person", required=True, shown=False, edge=False),
            Relation("form", "people.form", required=True, shown=False),
        ),
        under="people.form",
        where="T",
        order="T person.first_name person.last_name",
        include="form person",
    ),
    entity(
        "people.list",
        "List",
        "lists",
        "T name name_or_description description status auto_generated_name:b auto_refresh:b auto_refresh_frequency "
        "automations_active:b automations_count:i paused_automations_count:i batch_completed_at:t refreshed_at:t "
        "has_inactive_results:b include_inactive:b invalid:b recently_viewed:b return_original_if_none:b returns "
        "starred:b subset total_people:i",
        capped(300, 3, LISTS_MAX),
        _list,
        relations=(
            Relation("campus", "people.campus", shown=False),
            Relation("created_by", "people.person", shown=False),
        ),
        where="T batch_completed_at id name",
        order="T batch_completed_at name name_or_description",
        include="campus created_by",
        counts={"total_people": "people.list_result"},
    ),
    entity(
        "people.list_result",
        "ListResult",
        "list_results",
        "T",
        Fan("people.list", 25, first=BIG_LIST),
        _list_result,
        relations=(
            Relation("person", "people.person", required=True, edge=False),
            Relation("list", "people.list", required=True),
        ),
        under="people.list",
        order="T",
    ),
    entity(
        "people.workflow",
        "Workflow",
        "workflows",
        "T name archived_at:t deleted_at:t campus_id workflow_category_id completed_card_count:i total_cards_count:i "
        "total_ready_card_count:i total_ready_and_snoozed_card_count:i total_overdue_card_count:i total_steps_count:i "
        "total_unassigned_card_count:i total_unassigned_steps_count:i my_ready_card_count:i "
        "my_due_soon_card_count:i? my_overdue_card_count:i? recently_viewed:b",
        capped(500, 2, WORKFLOWS_MAX),
        _workflow,
        relations=(Relation("workflow_category"), CAMPUS),
        where=f"{_WORKFLOW} id",
        order=_WORKFLOW,
        counts={"total_cards_count": "people.workflow_card"},
        writes="CUD",
        needs="name",
    ),
    entity(
        "people.workflow_card",
        "WorkflowCard",
        "cards",
        "T stage overdue:b completed_at:t removed_at:t moved_to_step_at:t flagged_for_notification_at:t snooze_until:t "
        "sticky_assignment:b calculated_due_at_in_days_ago:i",
        Fan("people.workflow", 20, first=BIG_WORKFLOW),
        _workflow_card,
        relations=(
            Relation("assignee", "people.person", shown=False),
            Relation("person", "people.person", required=True, shown=False, edge=False),
            Relation("workflow", "people.workflow", required=True, shown=False),
            Relation("current_step", shown=False),
        ),
        under="people.workflow",
        where="assignee_id overdue stage",
        order="T completed_at first_name flagged_for_notification_at last_name moved_to_step_at removed_at stage",
        include="assignee person workflow",
        writes="CUD",
    ),
)
